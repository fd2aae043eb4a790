"""Weights are read, and code in a checkpoint is not run."""

import os

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from mmc_plugin.engine.weights import read_weights

WEIGHTS = dict(weight=torch.arange(6.0).view(2, 3), bias=torch.tensor([1, 2]))


class Harm:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def save(path, **extra):
    torch.save(dict(state_dict=WEIGHTS, meta=dict(epoch=1, cfg='a'), **extra), path)
    return str(path)


def assert_read(path):
    weights = read_weights(path)
    assert list(weights) == list(WEIGHTS)
    assert all(torch.equal(weights[key], value) for key, value in WEIGHTS.items())


def test_logs_of_mmengine_are_passed_over(tmp_path):
    buffer = HistoryBuffer([1.5, 2.5], [1, 1])
    hub = dict(log_scalars=dict(loss=buffer), runtime_info=dict(best=np.float64(3), ids=np.eye(2)))
    optimiser = dict(state={0: dict(step=torch.tensor(1.0))}, param_groups=[dict(lr=0.1)])
    path = save(tmp_path / 'a.pth', message_hub=hub, optimizer=optimiser)
    before = set(torch.serialization.get_safe_globals())
    assert_read(path)
    assert set(torch.serialization.get_safe_globals()) == before
    # Nothing else has become readable for those who load without us.
    with pytest.raises(Exception, match='Unsupported global|weights_only'):
        torch.load(path, weights_only=True)


def test_a_bare_state_dict_is_read(tmp_path):
    torch.save(WEIGHTS, tmp_path / 'a.pth')
    assert_read(str(tmp_path / 'a.pth'))


def test_code_is_refused_and_not_run(tmp_path):
    path = save(tmp_path / 'a.pth', message_hub=Harm(tmp_path / 'harm'))
    with pytest.raises(ValueError, match=r'a\.pth is not read: it holds (posix|nt)\.mkdir, '):
        read_weights(path)
    assert not (tmp_path / 'harm').exists()


class Lookup:
    """A pickle that finds a function by getattr, calls nothing, and would do harm in a next one."""

    def __reduce__(self):
        return getattr, (np.ndarray, 'tofile')


def test_getattr_of_a_checkpoint_finds_nothing(tmp_path):
    path = save(tmp_path / 'a.pth', message_hub=Lookup())
    assert_read(path)
    torch.save(dict(state_dict=dict(weight=Lookup())), path)
    with pytest.raises(ValueError, match='holds no weights'):
        read_weights(path)


def test_sentences(tmp_path):
    path = tmp_path / 'a.pth'
    with pytest.raises(FileNotFoundError, match=r'a\.pth does not exist'):
        read_weights(str(path))
    save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match=r'a\.pth is not read: it is damaged'):
        read_weights(str(path))
    for content in (b'', b'hello\n', b'\x80\x02junk'):
        path.write_bytes(content)
        with pytest.raises(ValueError, match='it is damaged'):
            read_weights(str(path))
    for content in (dict(state_dict={}), [1, 2], dict(state_dict=dict(a=1))):
        torch.save(content, path)
        with pytest.raises(ValueError, match='holds no weights of a model'):
            read_weights(str(path))
