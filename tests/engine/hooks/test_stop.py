"""What the stop hook refuses; tests/test_resume.py stops whole runs."""

import pytest

from mmc_plugin.engine.hooks import StopHook
from mmc_plugin.errors import InputError


def test_it_needs_an_interval():
    with pytest.raises(InputError, match='an interval from 1, got 0'):
        StopHook(interval=0)


def test_it_needs_the_hook_that_saves_safely(train_line, tmp_path):
    with pytest.raises(InputError, match='StopHook saves by SafeCheckpointHook: set default_hooks'):
        train_line(StopHook(), 4)
