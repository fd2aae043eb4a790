"""The weight decay's cosine by its formula, and groups without one."""

import math

import pytest
import torch

from mmc_plugin.engine.optimizers import CosineWeightDecay


@pytest.mark.parametrize('end, span', [(None, 10), (12, 12)])
def test_decayed_groups_follow_half_a_cosine_and_others_keep_none(end, span):
    weights = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    optimizer = torch.optim.AdamW(
        [dict(params=weights[:1], weight_decay=0.04), dict(params=weights[1:], weight_decay=0.0)]
    )
    # T_max beyond the run: MSN's stretched schedule.
    scheduler = CosineWeightDecay(optimizer, eta_min=0.4, T_max=end or 10, by_epoch=False)
    for step in range(1, 11):
        optimizer.step()
        scheduler.step()
        decayed, other = (group['weight_decay'] for group in optimizer.param_groups)
        cosine = (1 + math.cos(math.pi * step / span)) / 2
        assert decayed == pytest.approx(0.4 + (0.04 - 0.4) * cosine, abs=1e-12)
        assert other == 0.0
