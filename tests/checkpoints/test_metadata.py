"""What a checkpoint says of itself may be of any kind and size; the sentences stay short."""

import pytest

from mmc_plugin.checkpoints.metadata import ModelMetadata, read_metadata


@pytest.mark.parametrize('key, read', [
    ('model_type', lambda value: read_metadata(dict(model_type=value), {})),
    ('hidden_act', lambda value: read_metadata(dict(model_type='vit', hidden_act=value), {})),
    ('num_heads', lambda value: ModelMetadata(num_heads=value)),
    ('eps', lambda value: ModelMetadata(eps=value)),
    ('act_cfg', lambda value: ModelMetadata(act_cfg=value)),
])  # fmt: skip
def test_sentences_are_short(key, read):
    shared, cycle = [], []
    for _ in range(40):
        shared = [shared, shared]  # 2^40 lists, written out
    cycle.append(cycle)
    for value in (shared, cycle, 'x' * 1_000_000):
        with pytest.raises(ValueError) as caught:
            read(value)
        assert len(str(caught.value)) < 1000
