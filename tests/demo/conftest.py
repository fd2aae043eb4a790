"""A checkpoint of a run with a student, as small as it can be, and visitors of the page."""

import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS


@pytest.fixture(scope='session')
def tiny_run(tmp_path_factory) -> Path:
    """A checkpoint of MMC before its first step: two layers of width 48 on patches of 8."""
    from mmengine.registry import init_default_scope

    init_default_scope('mmpretrain')
    config = Config.fromfile(Path(__file__).parents[1] / 'configs' / 'tiny_mmc.py')
    torch.manual_seed(0)
    state = MODELS.build(config.model).state_dict()
    path = tmp_path_factory.mktemp('tiny') / 'epoch_1.pth'
    torch.save(dict(meta=dict(cfg=config.pretty_text), state_dict=state), path)
    return path


@pytest.fixture(scope='session')
def benchmark():
    """The tool that starts servers and visitors."""
    pytest.importorskip('gradio')
    folder = Path(__file__).parents[2] / 'tools' / 'benchmarks'
    sys.path.insert(0, str(folder))
    try:
        return SimpleNamespace(**runpy.run_path(str(folder / 'demo.py')))
    finally:
        sys.path.remove(str(folder))
