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
from glob import glob

import cv2
import numpy as np
import pytest

ROOT = osp.dirname(osp.dirname(osp.abspath(__file__)))
EPOCHS, ITERS = 4, 3  # 24 images in batches of 8
TRAIN = osp.join(ROOT, 'tools', 'train.py')
CONFIG = osp.join(ROOT, 'tests', 'configs', 'tiny_mmc.py')


@pytest.fixture(scope='module')
def images(tmp_path_factory) -> str:
    """A folder of JPEGs."""
    folder = tmp_path_factory.mktemp('images')
    generator = np.random.default_rng(0)
    for number in range(24):
        image = generator.integers(0, 255, (6, 6, 3), dtype=np.uint8)
        image = cv2.resize(image, (64, 48), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f'{number:02}.jpg'), image)
    return str(folder)


def arguments(images: str, work_dir, *options: str) -> list[str]:
    """Command line of ``tools/train.py`` for a training of a few seconds."""
    settings = [f'train_dataloader.dataset.data_root={images}', f'train_cfg.max_epochs={EPOCHS}']
    return [CONFIG, '--work-dir', str(work_dir), '--resume', '--cfg-options', *settings, *options]


class Trainings:
    """Starts trainings on the images in forks, and kills them."""

    def __init__(self, server, images: str) -> None:
        self.server, self.images = server, images

    def stop(self, work_dir, how, iterations: int) -> int:
        """Train until a signal, or a file STOP, ends it after so many iterations; its exit code."""
        work_dir.mkdir(exist_ok=True)
        log = work_dir / 'printed.txt'
        leader = self.server.start(TRAIN, arguments(self.images, work_dir), log)
        while sum(map(len, losses(work_dir).values())) < iterations:
            time.sleep(0.001)
        if how == 'STOP':
            (work_dir / 'STOP').touch()
        else:
            os.kill(leader, how)
        (code,) = self.server.wait(leader)
        return code

    def run(self, work_dir, after: tuple[int, float] | None = None, die=None, options=()) -> bool:
        """Train until the end, or until it is killed, going on from what there is.

        Args:
            work_dir (Path): Work directory.
            after (tuple[int, float], optional): Iterations, and seconds after the last of them,
                until SIGKILL.
            die (tuple, optional): Point of a checkpoint's way to the disk to kill it at; see
                fork_server.py.
            options (Sequence[str]): Overrides of the config.

        Returns:
            bool: Whether it came to its end.
        """
        work_dir.mkdir(exist_ok=True)
        log = work_dir / 'printed.txt'
        command = arguments(self.images, work_dir, *options)
        leader = self.server.start(TRAIN, command, log, die=die)
        if after is not None:
            kill_after(leader, work_dir, *after)
        (code,) = self.server.wait(leader)
        assert code in (0, -signal.SIGKILL), log.read_text()[-3000:]
        return code == 0


def kill_after(leader: int, work_dir, iterations: int, seconds: float) -> None:
    """Kill a process group ``seconds`` after its run has done so many more iterations."""
    done = sum(map(len, losses(work_dir).values()))
    try:
        while sum(map(len, losses(work_dir).values())) < done + iterations:
            os.killpg(leader, 0)
            time.sleep(0.002)
        time.sleep(seconds)
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it came to its end before


@pytest.fixture(scope='module')
def trainings(fork_server, images) -> Trainings:
    """Trainings on the images."""
    return Trainings(fork_server, images)


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
def reference(trainings, tmp_path_factory) -> dict[int, tuple]:
    """Iteration → losses of a run that is never killed."""
    work_dir = tmp_path_factory.mktemp('reference')
    assert trainings.run(work_dir)
    seen = losses(work_dir)
    assert sorted(seen) == list(range(1, EPOCHS * ITERS + 1))
    rows = {iteration: rows[0] for iteration, rows in seen.items()}
    assert len(set(rows.values())) == len(rows)
    return rows


def assert_equal(work_dir, reference: dict[int, tuple]) -> None:
    """Every iteration of every run in ``work_dir`` is that of the reference to the bit."""
    seen = losses(work_dir)
    assert sorted(seen) == sorted(reference)
    for iteration, rows in seen.items():
        assert set(rows) == {reference[iteration]}, f'iteration {iteration}'


def test_killed_at_random_points(trainings, reference, tmp_path):
    generator = random.Random(0)
    started = time.monotonic()
    assert trainings.run(tmp_path / 'whole')
    whole = time.monotonic() - started  # on this machine, under its load of now
    kills = runs = 0
    while kills < 6:
        work_dir = tmp_path / str(runs)
        runs += 1
        assert runs < 30, 'the runs end before they are killed'
        # An epoch has three iterations: most runs get on by one, some not at all. What is left
        # of a resumed run may be short, so the time is drawn over all that a run takes.
        while not trainings.run(work_dir, after=(0, generator.uniform(0.3, 1.0) * whole)):
            kills += 1
        assert_equal(work_dir, reference)


def test_killed_while_checkpoints_are_written_in_the_background(trainings, reference, tmp_path):
    options = ['default_hooks.checkpoint.background=True']
    generator = random.Random(1)
    kills = 0
    for number in range(4):
        work_dir = tmp_path / str(number)
        while not trainings.run(work_dir, (2, generator.uniform(0, 0.1)), options=options):
            kills += 1
            if kills > 2:  # enough of them
                assert trainings.run(work_dir, options=options)
                break
        assert_equal(work_dir, reference)
        assert not glob(osp.join(work_dir, '*.tmp'))
        assert (work_dir / 'last_checkpoint').read_text() == str(work_dir / f'epoch_{EPOCHS}.pth')
        if kills > 2:
            return


@pytest.mark.parametrize('how, code', [
    (signal.SIGTERM, 75), (signal.SIGUSR1, 75), ('STOP', 0),
])  # fmt: skip
def test_stopped_in_the_middle_of_an_epoch(trainings, reference, tmp_path, how, code):
    """Asked to stop it saves at once; what was trained on is not trained on again."""
    middles = 0
    for number in range(12):  # the machine may be so slow that it stops at the end of an epoch
        work_dir = tmp_path / str(number)
        found = trainings.stop(work_dir, how, 4)
        (between,) = [*work_dir.glob('iter_*.pth')] or [None]
        if found != code or between is None:
            assert found == 0  # it came to its end before
            continue
        done = int(between.stem.removeprefix('iter_'))
        printed = ' '.join((work_dir / 'printed.txt').read_text().split())
        assert f'after iteration {done}; all is in {between}.' in printed
        assert not (work_dir / 'STOP').exists()
        assert trainings.run(work_dir)
        assert_equal(work_dir, reference)
        assert all(len(rows) == 1 for rows in losses(work_dir).values())
        assert not [*work_dir.glob('iter_*.pth')]
        middles += done % ITERS > 0
        if middles:
            return
    pytest.fail('it was never stopped in the middle of an epoch')


POINTS = [
    ('writing', 1), ('writing', 3), ('before rename', 1), ('after rename', 3), ('before rename', 4),
    ('after rename', 4), ('before removal', 1)]  # fmt: skip


def test_killed_while_saving(trainings, reference, tmp_path):
    leftovers = 0
    for number, point in enumerate(POINTS):
        work_dir = tmp_path / str(number)
        assert not trainings.run(work_dir, die=point), f'{point} was not reached'
        leftovers += len(glob(osp.join(work_dir, '*.tmp')))
        assert trainings.run(work_dir)
        assert_equal(work_dir, reference)
        assert not glob(osp.join(work_dir, '*.tmp'))
        assert (work_dir / 'last_checkpoint').read_text() == str(work_dir / f'epoch_{EPOCHS}.pth')
    # Half-written files were really there, and are gone.
    assert leftovers == sum(where in ('writing', 'before rename') for where, _ in POINTS)


@pytest.mark.parametrize('workers', [0, 1])
def test_resumed_with_other_workers(trainings, reference, tmp_path, workers):
    assert not trainings.run(tmp_path, die=('after rename', 3))
    assert trainings.run(tmp_path, options=[f'train_dataloader.num_workers={workers}'])
    assert_equal(tmp_path, reference)


def test_broken_newest_is_passed_over(trainings, reference, tmp_path):
    assert not trainings.run(tmp_path, die=('after rename', 6))
    newest = tmp_path / 'epoch_3.pth'
    with open(newest, 'r+b') as file:
        file.truncate(newest.stat().st_size // 2)
    assert trainings.run(tmp_path)
    assert_equal(tmp_path, reference)
    printed = ' '.join((tmp_path / 'printed.txt').read_text().split())
    assert f'The checkpoint {newest} is passed over: it is cut short' in printed
    assert len(losses(tmp_path)[2 * ITERS + 1]) == 2  # gone on from the second epoch


def test_command_line(trainings, images, reference, tmp_path):
    """The first run is a program of its own, with nothing imported before."""
    command = [sys.executable, '-W', 'ignore', TRAIN, *arguments(images, tmp_path)]
    environment = dict(os.environ, PYTHONPATH=ROOT, OMP_NUM_THREADS='1')
    with open(tmp_path / 'printed.txt', 'w') as log:
        options = dict(env=environment, stdout=log, stderr=log, start_new_session=True)
        with subprocess.Popen(command, **options) as run:
            kill_after(run.pid, tmp_path, ITERS + 2, 0.0)
        assert run.returncode == -signal.SIGKILL
    assert trainings.run(tmp_path)
    assert_equal(tmp_path, reference)
    assert len(losses(tmp_path)[1]) == 1
