"""Fixtures for all tests."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope

from mmc_plugin.datasets.photographs import find_photographs
from mmc_plugin.structures.palette import encode_palette


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a GPU where there is none."""
    if item.get_closest_marker('gpu') and not torch.cuda.is_available():
        pytest.skip('needs a CUDA device')


@pytest.fixture(scope='session', autouse=True)
def one_thread():
    """Small tensors gain nothing from threads, and test machines are shared."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)


@pytest.fixture(scope='module', autouse=True)
def default_scope():
    """Each file begins in the plugin's scope, whatever runs the one before has left."""
    init_default_scope('mmpretrain')


@pytest.fixture(scope='session')
def data_root() -> Path:
    """Folder with real data sets, named by ``MMC_DATA_ROOT``."""
    root = os.environ.get('MMC_DATA_ROOT')
    if not root:
        pytest.skip('MMC_DATA_ROOT does not name a folder with real data')
    path = Path(root).resolve()
    if not path.is_dir():
        pytest.fail(f'MMC_DATA_ROOT={root} is not a folder')
    return path


@pytest.fixture(scope='session')
def photographs() -> list[Path]:
    """Ten colour photographs on every machine."""
    return find_photographs()


@pytest.fixture(scope='session')
def photo_folder(tmp_path_factory) -> Path:
    """Folder with ten photographs as JPEGs, short side at most 256 pixels. Do not write to it."""
    folder = tmp_path_factory.mktemp('photographs')
    for path in find_photographs():
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        scale = min(1.0, 256 / min(image.shape[:2]))
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        assert cv2.imwrite(str(folder / f'{path.stem}.jpg'), image)
    return folder


def find_port() -> int:
    """A port that no program listens on, for two processes to meet at."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


@pytest.fixture
def free_port() -> int:
    """See :func:`find_port`."""
    return find_port()


class ForkServer:
    """Starts programs in forks of a process that has imported everything; see fork_server.py."""

    def __init__(self) -> None:
        here = Path(__file__).resolve().parent
        # A fork cannot use a GPU that its parent has looked at.
        environment = dict(os.environ, PYTHONPATH=str(here.parent), CUDA_VISIBLE_DEVICES='')
        self.process = subprocess.Popen(
            [sys.executable, '-W', 'ignore', str(here / 'fork_server.py')],
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        while self._line() != 'ready':  # hosts may print while they are imported
            pass

    def _line(self) -> str:
        line = self.process.stdout.readline()
        assert line, 'the fork server has died'
        return line.strip()

    def _ask(self, **request: object) -> int | list[int]:
        self.process.stdin.write(json.dumps(request) + '\n')
        self.process.stdin.flush()
        return json.loads(self._line())

    def start(
        self,
        program: str | Path,
        arguments: Sequence[object],
        log: Path,
        environment: dict[str, str] | None = None,
        die: Sequence | None = None,
    ) -> int:
        """Start a program in the folder of its log.

        Args:
            program: File to run.
            arguments: Its command line.
            log: File for what it prints.
            environment: Variables added to this process's.
            die: Point of a checkpoint's way to the disk to kill it at.

        Returns:
            Its process id, which is also that of its process group.
        """
        return self._ask(
            program=str(program), arguments=[str(each) for each in arguments], log=str(log),
            folder=str(log.parent), environment=environment or {}, die=die,
        )  # fmt: skip

    def launch(
        self,
        program: str | Path,
        arguments: Sequence[object],
        logs: Sequence[Path],
        environment: dict[str, str] | None = None,
    ) -> list[int]:
        """Start a program once for each log, with the variables that torchrun would set."""
        world, port = str(len(logs)), str(find_port())
        shared = dict(
            WORLD_SIZE=world, LOCAL_WORLD_SIZE=world, MASTER_ADDR='127.0.0.1', MASTER_PORT=port
        )
        shared |= environment or {}
        return [
            self.start(program, arguments, log, shared | dict(RANK=str(rank), LOCAL_RANK=str(rank)))
            for rank, log in enumerate(logs)
        ]

    def wait(self, *processes: int, limit: float = 240) -> list[int]:
        """Wait for the end of programs; when one fails, the others are killed.

        Args:
            processes: Their ids.
            limit: Seconds, after which all are killed.

        Returns:
            Their exit codes; the negative number of a signal that ended one.
        """
        statuses = self._ask(processes=processes, limit=limit)
        return [os.waitstatus_to_exitcode(status) for status in statuses]

    def run_ranks(self, program: str | Path, arguments: Sequence[object], folder: Path) -> None:
        """Run a program in two processes at once, with rank and folder before its arguments.

        Both get the variables that torchrun would set; they must end well. What they print is in
        ``folder / 'printed_<rank>.txt'``.
        """
        processes = []
        for rank in map(str, range(2)):
            variables = dict(RANK=rank, LOCAL_RANK=rank, LOCAL_WORLD_SIZE='2', WORLD_SIZE='2')
            log = folder / f'printed_{rank}.txt'
            command = [rank, folder, *arguments]
            processes.append(self.start(program, command, log, environment=variables))
        printed = [folder / f'printed_{rank}.txt' for rank in range(2)]
        codes = self.wait(*processes)
        assert codes == [0, 0], '\n'.join(path.read_text()[-3000:] for path in printed)

    def close(self) -> None:
        """End the server, which has nothing to lose.

        Its input may not end with this process's pipe, of which forks for loading hold copies, and
        an interpreter that large takes seconds to leave by itself.
        """
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope='session')
def fork_server() -> Iterator[ForkServer]:
    """A server of programs that need a process of their own, but no interpreter."""
    server = ForkServer()
    yield server
    server.close()


def _video_frame(place: int) -> tuple[np.ndarray, np.ndarray]:
    """A red and a green object that move one patch of 8 a frame against each other, and a mask."""
    rng = np.random.default_rng(0)
    image = np.zeros((64, 128, 3), np.uint8)
    image[..., 2] = np.kron(rng.integers(60, 256, (8, 16)), np.ones((8, 8)))  # blue
    mask = np.zeros((64, 128), np.uint8)
    for index, top, left in ((1, 8, 8 + 8 * place), (2, 40, 88 - 8 * place)):
        box = slice(top, top + 16), slice(left, left + 24)
        mask[box] = index
        image[box] = (220, 20, 20) if index == 1 else (20, 220, 20)
    return image, mask


@pytest.fixture
def video() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Seven RGB frames of 64 × 128 pixels and their masks, of objects that keep their colours."""
    return tuple(map(list, zip(*map(_video_frame, range(7)), strict=True)))


def write_davis(root: Path) -> Path:
    """A folder in the layout of DAVIS-2017 with two sequences; the second has one object."""
    for name, objects in (('both', 2), ('one', 1)):
        folders = [root / part / '480p' / name for part in ('JPEGImages', 'Annotations')]
        for folder in folders:
            folder.mkdir(parents=True)
        for place in range(7 if objects == 2 else 5):
            image, mask = _video_frame(place)
            jpeg = str(folders[0] / f'{place:05d}.jpg')
            cv2.imwrite(jpeg, image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])
            mask = np.where(mask > objects, 0, mask).astype(np.uint8)
            (folders[1] / f'{place:05d}.png').write_bytes(encode_palette(mask))
    (root / 'ImageSets' / '2017').mkdir(parents=True)
    (root / 'ImageSets' / '2017' / 'val.txt').write_text('both\none\n')
    return root


@pytest.fixture
def davis(tmp_path) -> Path:
    """See :func:`write_davis`."""
    return write_davis(tmp_path / 'davis2017')
