"""A process of an elastic run is killed; torchrun starts all anew, and the losses are as ever."""

import json
import os
import runpy
import signal
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TRAIN = str(ROOT / 'tools' / 'train.py')
CONFIG = str(ROOT / 'tests' / 'configs' / 'tiny_mmc.py')
EPOCHS, ITERS = 4, 2  # ten photographs, two processes, batches of two; the last are dropped


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


def launch(fork_server, images: Path, work_dir: Path, kill: bool) -> None:
    """Train with two processes; kill one of them in the third epoch."""
    work_dir.mkdir()
    log = work_dir / 'printed.txt'
    launcher = fork_server.start(__file__, [images, work_dir], log)
    while kill and len(losses(work_dir)) < 2 * ITERS + 1:
        time.sleep(0.01)
    if kill:
        last = max(work_dir.glob('rank_1.*'), key=lambda path: int(path.suffix[1:]))
        os.kill(int(last.read_text()), signal.SIGKILL)
    assert fork_server.wait(launcher) == [0], log.read_text()[-3000:]


@pytest.mark.skipif(
    'MMC_LONG_TESTS' not in os.environ, reason='takes a minute or more: set MMC_LONG_TESTS=1'
)
def test_a_killed_process_changes_nothing(fork_server, photo_folder, tmp_path):
    launch(fork_server, photo_folder, tmp_path / 'whole', kill=False)
    launch(fork_server, photo_folder, tmp_path / 'killed', kill=True)
    whole, killed = losses(tmp_path / 'whole'), losses(tmp_path / 'killed')
    assert sorted(whole) == list(range(1, EPOCHS * ITERS + 1))
    assert whole == killed
    assert len([*(tmp_path / 'killed').glob('rank_1.*')]) >= 2  # started anew, at least once
    assert len([*(tmp_path / 'whole').glob('rank_1.*')]) == 1


def work(images: str, work_dir: str) -> None:
    """What each process does: the command of ``torchrun --max-restarts``."""
    note = Path(work_dir, f'rank_{os.environ["RANK"]}.{os.environ["TORCHELASTIC_RESTART_COUNT"]}')
    note.write_text(str(os.getpid()))
    sys.argv = [
        TRAIN, CONFIG, '--launcher', 'pytorch', '--resume', '--work-dir', work_dir,
        '--cfg-options', f'train_dataloader.dataset.data_root={images}',
        f'train_cfg.max_epochs={EPOCHS}', 'train_dataloader.batch_size=2',
        'train_dataloader.num_workers=0', 'optim_wrapper.precision=fp32',
    ]  # fmt: skip
    runpy.run_path(TRAIN, run_name='__main__')


def main() -> None:
    """Be torchrun, whose processes are forks here."""
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=2, max_restarts=3, start_method='fork',
        rdzv_backend='c10d', rdzv_endpoint='127.0.0.1:0', run_id='test', monitor_interval=0.05,
    )  # fmt: skip
    elastic_launch(config, work)(*sys.argv[1:])


if __name__ == '__main__':
    main()
