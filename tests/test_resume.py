"""A run killed at any instant, and resumed, has the losses of a run that was never killed."""
from __future__ import annotations

import json
import os
import os.path as osp
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from glob import glob

import cv2
import numpy as np
import pytest

ROOT = osp.dirname(osp.dirname(osp.abspath(__file__)))
EPOCHS, ITERS = 4, 3  # 24 images in batches of 8
# The real configs, made small: all losses, drop-path, warm-up, clipping and EMA are on.
CONFIG = """
_base_ = ['{root}/configs/mmc/vits_in100_500e.py']
custom_imports = dict(imports=['mmc_plugin'], allow_failed_imports=False)
tiny = dict(hidden_channels=32, in_channels=48)
model = dict(
    backbone=dict(
        _delete_=True, type='VisionTransformer', img_size=32, patch_size=8, drop_path_rate=0.2,
        arch=dict(embed_dims=48, num_layers=2, num_heads=3, feedforward_channels=96),
        out_type='raw'),
    rec_head=dict(patch_size=8, **tiny),
    patch_head=dict(out_channels=16, **tiny),
    cls_head=dict(out_channels=16, **tiny))
tiny_view = [
    dict(type='ViewCrop', size=32, scale=(0.2, 1.0)), dict(type='RandomFlip', prob=0.5), dict(type='ViewGrayscale', prob=0.2)]
train_dataloader = dict(
    batch_size=8, num_workers=2, persistent_workers=True, pin_memory=False,
    dataset=dict(data_root='{images}', pipeline=[
        dict(type='LoadImage'),
        dict(type='MultiView', num_views=[1, 1], transforms=[tiny_view, tiny_view]),
        dict(type='GMMLMask', noise_ratio=0.75, alien_ratio=0.3, alien_prob=0.5, align=8),
        dict(type='PackViews')]))
train_cfg = dict(max_epochs={epochs})
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=1, convert_to_iter_based=True)]
custom_hooks = [dict(type='SeedEachIteration'), dict(type='MomentumTeacherHook'), dict(type='LossGuardHook'), dict(type='ThroughputHook')]
default_hooks = dict(
    logger=dict(interval=1),
    checkpoint=dict(interval=1, max_keep_ckpts=2))
log_processor = dict(window_size=1)
env_cfg = dict(dist_cfg=dict(backend='gloo'))
visualizer = dict(vis_backends=[dict(type='LocalVisBackend')])
"""


@pytest.fixture(scope='module')
def config(tmp_path_factory) -> str:
    """Path of a config whose training takes a few seconds, with its images."""
    folder = tmp_path_factory.mktemp('tiny')
    generator = np.random.default_rng(0)
    for number in range(24):
        image = generator.integers(0, 255, (6, 6, 3), dtype=np.uint8)
        image = cv2.resize(image, (64, 48), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f'{number:02}.jpg'), image)
    path = folder / 'config.py'
    path.write_text(CONFIG.format(root=ROOT, images=folder, epochs=EPOCHS))
    return str(path)


class ForkServer:
    """Starts trainings and kills them; see fork_server.py."""

    def __init__(self, config: str) -> None:
        self.config = config
        script = osp.join(osp.dirname(osp.abspath(__file__)), 'fork_server.py')
        environment = dict(os.environ, PYTHONPATH=ROOT)
        self.process = subprocess.Popen(
            [sys.executable, '-W', 'ignore', script], env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        while self._line() != 'ready':  # hosts may print while they are imported
            pass

    def _line(self) -> str:
        line = self.process.stdout.readline()
        assert line, 'the fork server has died'
        return line.strip()

    def run(self, work_dir, after: float | None = None, die=None, **options) -> bool:
        """Train until the end, or until it is killed.

        Args:
            work_dir (Path): Work directory.
            after (float, optional): Seconds until SIGKILL.
            die (tuple, optional): Point of a checkpoint's way to kill it at.
            **options: Overrides of the config, with ``__`` for a dot.

        Returns:
            bool: Whether it came to its end.
        """
        work_dir.mkdir(exist_ok=True)
        log = work_dir / 'printed.txt'
        job = dict(
            config=self.config, work_dir=str(work_dir), log=str(log),
            options={key.replace('__', '.'): value for key, value in options.items()})
        if die is not None:
            job['die'] = die
        self.process.stdin.write(json.dumps(job) + '\n')
        self.process.stdin.flush()
        leader = int(self._line())
        if after is not None:
            time.sleep(after)
            try:
                os.killpg(leader, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it was done before
        status = int(self._line())
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        assert killed or status == 0, log.read_text()[-3000:]
        return not killed

    def close(self) -> None:
        """End the server."""
        self.process.stdin.close()
        self.process.wait(10)


@pytest.fixture(scope='module')
def server(config) -> Iterator[ForkServer]:
    """A server of trainings of the config."""
    server = ForkServer(config)
    yield server
    server.close()


def losses(work_dir) -> dict[int, list[tuple]]:
    """Iteration → what each run in ``work_dir`` that did it wrote of it, in full precision."""
    seen: dict[int, list[tuple]] = {}
    for path in glob(osp.join(work_dir, '*', 'vis_data', 'scalars.json')):
        with open(path) as file:
            for line in file:
                if not line.endswith('\n'):
                    continue  # killed in the middle of the line
                row = json.loads(line)
                names = ('loss', 'loss_rec', 'loss_patch', 'loss_cls', 'grad_norm', 'lr')
                seen.setdefault(row['iter'], []).append(tuple(row[name] for name in names))
    return seen


@pytest.fixture(scope='module')
def reference(server, tmp_path_factory) -> tuple[dict[int, tuple], float]:
    """Losses of a run that is never killed, and the seconds it takes."""
    work_dir = tmp_path_factory.mktemp('reference')
    start = time.perf_counter()
    assert server.run(work_dir)
    seconds = time.perf_counter() - start
    seen = losses(work_dir)
    assert sorted(seen) == list(range(1, EPOCHS * ITERS + 1))
    rows = {iteration: rows[0] for iteration, rows in seen.items()}
    assert len(set(rows.values())) == len(rows)
    return rows, seconds


def assert_equal(work_dir, reference: dict[int, tuple]) -> None:
    """Every iteration of every run in ``work_dir`` is that of the reference to the bit."""
    seen = losses(work_dir)
    assert sorted(seen) == sorted(reference)
    for iteration, rows in seen.items():
        assert set(rows) == {reference[iteration]}, f'iteration {iteration}'


def test_killed_at_random_times(server, reference, tmp_path):
    rows, seconds = reference
    generator = random.Random(1)
    kills, attempt = 0, 0
    while kills < 10:
        work_dir = tmp_path / str(attempt)
        attempt += 1
        while not server.run(work_dir, after=generator.uniform(0.3, 1.0) * seconds):
            kills += 1
        assert_equal(work_dir, rows)


POINTS = [
    ('writing', 1), ('writing', 3), ('before rename', 1), ('after rename', 3), ('before rename', 4),
    ('after rename', 4), ('before removal', 1)]


def test_killed_while_saving(server, reference, tmp_path):
    rows, _ = reference
    leftovers = 0
    for number, point in enumerate(POINTS):
        work_dir = tmp_path / str(number)
        assert not server.run(work_dir, die=point), f'{point} was not reached'
        left = glob(osp.join(work_dir, '*.tmp'))
        leftovers += len(left)
        assert server.run(work_dir)
        assert_equal(work_dir, rows)
        assert not glob(osp.join(work_dir, '*.tmp'))
        assert (work_dir / 'last_checkpoint').read_text() == str(work_dir / f'epoch_{EPOCHS}.pth')
    assert leftovers == sum(where in ('writing', 'before rename') for where, _ in POINTS)
