"""The ring of the last rows."""

from collections import deque

import pytest
import torch

from mmc_plugin.models.utils.feature_queue import FeatureQueue


def test_it_holds_the_last_rows_whatever_the_batches():
    torch.manual_seed(0)
    queue = FeatureQueue(7, 3)
    torch.testing.assert_close(queue.rows.norm(dim=1), torch.ones(7))
    last = deque(map(tuple, queue.rows.tolist()), maxlen=7)
    for number in (2, 3, 5, 7, 1, 20):
        rows = torch.randn(number, 3)
        queue.push(rows)
        last.extend(map(tuple, rows.tolist()))
        assert sorted(map(tuple, queue.rows.tolist())) == sorted(last)
    again = FeatureQueue(7, 3)
    again.load_state_dict(queue.state_dict())
    for each in (queue, again):
        each.push(torch.ones(2, 3))
    assert torch.equal(queue.rows, again.rows)


def test_an_empty_one_is_refused():
    with pytest.raises(ValueError, match='length of at least 1, got 0'):
        FeatureQueue(0, 3)
