"""What counts of an elastic run that was killed: what is in the weights."""

import importlib
import json
import sys
from collections import Counter
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / 'tools' / 'fuzz'


@pytest.fixture(scope='module')
def tool():
    sys.path.insert(0, str(FOLDER))
    yield importlib.import_module('elastic_kills')
    sys.path.remove(str(FOLDER))


def note(folder: Path, process: str, *lines: dict) -> None:
    (folder / 'notes').mkdir(exist_ok=True)
    text = ''.join(json.dumps(line) + '\n' for line in lines)
    (folder / 'notes' / f'samples_{process}').write_text(text + '{"killed in the mid')


def test_iterations_that_were_lost_do_not_count(tool, tmp_path):
    def step(time, done, *samples):
        return dict(time=time, epoch=0, done=done, samples=samples)

    # Two processes; the checkpoint after 4 samples is what one goes on from, alone.
    note(tmp_path, '1', dict(time=0, epoch=0, done=0, world=2), step(1, 4, 0, 1), step(2, 8, 2, 3))
    note(tmp_path, '2', dict(time=0, epoch=0, done=0, world=2), step(1, 4, 4, 5), step(2, 8, 6, 7))
    note(tmp_path, '3', dict(time=3, epoch=0, done=4, world=1), step(4, 6, 2, 6), step(5, 8, 3, 7))
    assert tool.counted(tmp_path) == {0: Counter(range(8))}
    # One that went on from too far leaves some out, and one from too early has some twice.
    note(tmp_path, '3', dict(time=3, epoch=0, done=8, world=1), step(4, 10, 8, 9))
    assert tool.counted(tmp_path) == {0: Counter(range(10))}
    note(tmp_path, '3', dict(time=3, epoch=0, done=4, world=1), step(4, 6, 0, 6), step(5, 8, 3, 7))
    assert tool.counted(tmp_path)[0] == Counter([0, 0, 1, 3, 4, 5, 6, 7])
    (wrong,) = tool.miscounted(tmp_path)
    assert wrong.startswith('images of the epochs [0, 1, ')
