"""The comparison of a killed training with a whole one finds what differs."""

import json
import runpy
from pathlib import Path

import pytest
import torch

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'fuzz' / 'kills.py'


@pytest.fixture(scope='module')
def kills():
    return runpy.run_path(str(TOOL))


def write(folder: Path, epochs: int, loss: float = 1.5, weight: float = 2.0) -> Path:
    (folder / 'log' / 'vis_data').mkdir(parents=True)
    row = json.dumps(dict(iter=1, loss=loss, lr=0.1, time=3))
    (folder / 'log' / 'vis_data' / 'scalars.json').write_text(f'{row}\n{row[:9]}')
    state = dict(state_dict=dict(a=torch.tensor([weight])), optimizer=dict(step=3))
    torch.save(dict(state, param_schedulers=[dict(last=1)]), folder / f'epoch_{epochs}.pth')
    return folder


def test_what_differs_is_found(kills, tmp_path):
    differences, epochs = kills['differences'], kills['EPOCHS']
    whole = write(tmp_path / 'whole', epochs)
    assert differences(write(tmp_path / 'same', epochs), whole) == []
    other = write(tmp_path / 'other', epochs, loss=1.5000001, weight=2.0000002)
    (other / 'epoch_1.pth.tmp').touch()
    assert differences(other, whole) == [
        'losses of the iterations [1]',
        '1 values of the last checkpoint, such as state_dict.a',
        "left behind: ['epoch_1.pth.tmp']",
    ]
