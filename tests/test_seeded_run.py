"""A seeded run on a CPU gives the numbers that are on record, loss by loss.

``tests/data/seeded_run.json`` was written by this very run at the first release. A change that
moves a random stream, the order of samples, a loss or a schedule shows here. The record is only
renewed for a change that is meant to move numbers: ``python tests/test_seeded_run.py`` prints it.
"""

import contextlib
import json
import runpy
import sys
import tempfile
from pathlib import Path
from unittest import mock

import cv2
import pytest

from mmc_plugin.datasets.photographs import find_photographs
from mmc_plugin.engine.hooks import feature_monitor

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / 'tests' / 'data' / 'seeded_run.json'
LOSSES = ('loss_rec', 'loss_patch', 'loss_cls')


def cut_photographs(photographs: list[Path], folder: Path) -> None:
    """Sixteen tiles of each photograph, in turns for training and for validation."""
    for path in photographs:
        image = cv2.resize(cv2.imread(str(path)), (192, 192), interpolation=cv2.INTER_AREA)
        for i in range(16):
            row, column = divmod(i, 4)
            tile = image[48 * row : 48 * row + 48, 48 * column : 48 * column + 48]
            name = folder / ('train', 'val')[(row + column) % 2] / path.stem / f'{i:02d}.png'
            name.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(name), tile)


def train(folder: Path) -> dict[str, list]:
    """Losses of each iteration and k-NN accuracies of each evaluation."""
    config = folder / 'config.py'
    config.write_text(
        f'_base_ = [{str(ROOT / "tests" / "configs" / "tiny_mmc.py")!r}]\n'
        f'train_dataloader = dict(dataset=dict(data_root={str(folder / "train")!r}))\n'
        "default_hooks = dict(features=dict(type='FeatureMonitorHook', interval=1,\n"
        f'    train_dir={str(folder / "train")!r}, val_dir={str(folder / "val")!r},\n'
        '    resize=32, crop=32))\n'
    )
    sys.argv = ['train.py', str(config), '--work-dir', str(folder / 'run'), '--cfg-options',
                'optim_wrapper.type=OptimWrapper', 'optim_wrapper.optimizer.lr=0.03',
                'train_cfg.max_epochs=3']  # fmt: skip
    with mock.patch.object(feature_monitor, 'NEIGHBOURS', (1, 5)):
        runpy.run_path(str(ROOT / 'tools' / 'train.py'), run_name='__main__')
    (scalars,) = (folder / 'run').glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in scalars.read_text().splitlines()]
    rows = [row for row in rows if 'loss' in row]
    monitor = (folder / 'run' / 'feature_monitor.jsonl').read_text().splitlines()
    evaluations = [json.loads(line) for line in monitor]
    names = sorted(name for name in evaluations[0] if name.startswith('knn/'))
    return {
        **{
            name: [row[name] for row in rows]
            for name in (*LOSSES, 'grad_norm', 'lr', 'teacher_momentum')
        },
        **{name: [each[name] for each in evaluations] for name in names},
    }


def test_numbers_are_those_on_record(photographs, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, 'argv', sys.argv)
    cut_photographs(photographs, tmp_path)
    found, expected = train(tmp_path), json.loads(RECORD.read_text())
    assert set(found) == set(expected)
    for name, values in expected.items():
        # Kernels of other processors round otherwise, which may move one image of eighty.
        knn = name.startswith('knn/')
        assert found[name] == pytest.approx(values, rel=2e-4, abs=1.3 if knn else 1e-7), name


if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(sys.stderr):
        cut_photographs(find_photographs(), Path(name))
        numbers = train(Path(name))
    print(json.dumps(numbers, indent=1))
