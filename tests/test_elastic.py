"""A process of a run is killed; all are started anew, and the losses are as ever."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONFIG = str(ROOT / 'tests' / 'configs' / 'tiny_mmc.py')
EPOCHS, ITERS = 4, 2  # ten photographs, two processes, batches of two; the last are dropped
# Instead of Python: notes which process is which of which start.
NOTE = f"""#!/bin/sh
echo $$ >rank_$RANK.$TORCHELASTIC_RESTART_COUNT
exec {sys.executable} "$@"
"""


def losses(work_dir: Path) -> dict[int, set]:
    """Iteration → the losses that each start wrote of it."""
    seen: dict[int, set] = {}
    for path in work_dir.glob('*/vis_data/scalars.json'):
        for line in path.read_text().splitlines(keepends=True):
            if line.endswith('\n'):
                row = json.loads(line)
                names = ('loss_rec', 'loss_patch', 'loss_cls', 'grad_norm')
                seen.setdefault(row['iter'], set()).add(tuple(row[name] for name in names))
    return seen


def options(images: Path, work_dir: Path) -> list[str]:
    return [
        '--resume', '--work-dir', str(work_dir), '--cfg-options',
        f'train_dataloader.dataset.data_root={images}', f'train_cfg.max_epochs={EPOCHS}',
        'train_dataloader.batch_size=2', 'train_dataloader.num_workers=0',
        'optim_wrapper.precision=fp32',
    ]  # fmt: skip


@pytest.fixture
def whole(fork_server, photo_folder, tmp_path) -> dict[int, set]:
    """Losses of a run that nobody kills."""
    # In forks, which start at once; torchrun has threads, which forks do not survive.
    program = ROOT / 'tools' / 'train.py'
    arguments = [CONFIG, '--launcher', 'pytorch', *options(photo_folder, tmp_path / 'whole')]
    logs = [tmp_path / f'whole_{rank}.txt' for rank in '01']
    processes = fork_server.launch(program, arguments, logs)
    assert fork_server.wait(*processes) == [0, 0], [log.read_text()[-3000:] for log in logs]
    seen = losses(tmp_path / 'whole')
    assert sorted(seen) == list(range(1, EPOCHS * ITERS + 1))
    return seen


def test_a_killed_process_changes_nothing(whole, photo_folder, free_port, tmp_path):
    note, log, killed = tmp_path / 'note', tmp_path / 'killed.txt', tmp_path / 'killed'
    note.write_text(NOTE)
    note.chmod(0o700)
    environment = dict(
        os.environ, PYTHON=sys.executable, PYTHON_EXEC=str(note), OMP_NUM_THREADS='1',
        MAX_RESTARTS='3', PORT=str(free_port),
    )  # fmt: skip
    launcher = ['bash', str(ROOT / 'tools' / 'dist_train.sh'), CONFIG, '2']
    with open(log, 'w') as out:
        run = subprocess.Popen(
            [*launcher, *options(photo_folder, killed)],
            stdout=out, stderr=out, cwd=tmp_path, env=environment,
        )  # fmt: skip
    while len(losses(killed)) < 2 * ITERS + 1:  # in the third epoch
        assert run.poll() is None, log.read_text()[-3000:]
        time.sleep(0.01)
    os.kill(int((tmp_path / 'rank_1.0').read_text()), signal.SIGKILL)
    assert run.wait(timeout=200) == 0, log.read_text()[-3000:]
    assert losses(killed) == whole
    assert len([*tmp_path.glob('rank_1.*')]) == 2  # two starts
