"""The newest whole checkpoint of a run, to resume from."""

from __future__ import annotations

import logging
import os.path as osp
import re
import zipfile
import zlib
from glob import escape, glob

from mmengine.logging import print_log

from ..checkpoints.checkpoint import check_regular
from ..checkpoints.pickles import OF_JUNK, RefusedPickleError
from ..checkpoints.torch_files import zip_outline
from ..errors import InputError

LAST_CHECKPOINT = 'last_checkpoint'
_NUMBERED = re.compile(r'(epoch|iter)_(\d+)\.pth')
_NEEDED = ('meta', 'state_dict', 'optimizer')


class BrokenCheckpointError(InputError):
    """A file that a run cannot be resumed from."""


def read_last_checkpoint(work_dir: str) -> str | None:
    """What ``last_checkpoint`` of a work directory names; None if it is absent or empty."""
    try:
        with open(osp.join(work_dir, LAST_CHECKPOINT), encoding='utf-8', errors='replace') as file:
            return file.read().strip() or None
    except FileNotFoundError:
        return None


def find_resumable_checkpoint(work_dir: str) -> str | None:
    """The whole checkpoint of a work directory that has trained for the most iterations.

    Candidates are ``epoch_<n>.pth`` and ``iter_<n>.pth`` in ``work_dir`` and, if checkpoints go to
    another folder, beside the file that ``last_checkpoint`` names, and that file itself. A broken
    one is passed over with a warning that says why, and the one before it is looked at.

    An :class:`EpochBasedTrainLoop` of mmengine starts at an epoch's first image, so only
    checkpoints saved by epoch repeat its numbers exactly.

    Args:
        work_dir (str): Work directory of the run; need not exist.

    Returns:
        str | None: Its path, or None where there is nothing to go on from.
    """
    found = []
    for paths in _candidates(work_dir):
        for path in paths:
            try:
                meta = inspect_checkpoint(path)
            except BrokenCheckpointError as error:
                print_log(
                    f'The checkpoint {path} is passed over: {error}.',
                    logger='current',
                    level=logging.WARNING,
                )
            else:
                found.append((meta['iter'], meta['epoch'], path))
                break
    return max(found)[-1] if found else None


def _candidates(work_dir: str) -> list[list[str]]:
    """Paths by epoch and by iteration, each the newest first, and what ``last_checkpoint`` says."""
    last = read_last_checkpoint(work_dir)
    folders = {osp.abspath(work_dir)}
    if last is not None:
        folders.add(osp.dirname(osp.abspath(last)))
    numbered: dict[str, list[tuple[int, str]]] = dict(epoch=[], iter=[])
    for folder in folders:
        for path in glob(osp.join(escape(folder), '*.pth')):
            match = _NUMBERED.fullmatch(osp.basename(path))
            if match:
                numbered[match[1]].append((int(match[2]), path))
    groups = [[path for _, path in sorted(pairs, reverse=True)] for pairs in numbered.values()]
    if last is not None and osp.abspath(last) not in sum(groups, []):
        groups.append([last])
    return groups


def inspect_checkpoint(path: str) -> dict:
    """Check that a file is a whole checkpoint of mmengine's, without running what it holds.

    All its bytes are compared with their checksums, then
    :func:`~mmc_plugin.checkpoints.torch_files.zip_outline` reads the outline: nothing is imported
    and no tensor is built, and a file is judged alike by every version of torch and mmengine.

    Args:
        path (str): A file written by ``torch.save``.

    Returns:
        dict: Its ``meta``, with the integers ``epoch`` and ``iter``.

    Raises:
        BrokenCheckpointError: With the reason, as the end of a sentence.
    """
    try:
        check_regular(path)
    except FileNotFoundError:
        raise BrokenCheckpointError('it does not exist') from None
    except InputError as error:
        raise BrokenCheckpointError(f'it cannot be read: {error}') from None
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            if damaged is not None:
                raise BrokenCheckpointError(f'{damaged} in it is damaged')
            checkpoint = zip_outline(path, archive)
    except RefusedPickleError as error:
        raise BrokenCheckpointError(f'it holds {error}') from None
    except InputError as error:
        raise BrokenCheckpointError(str(error).replace(path, 'it', 1)) from None
    except OSError as error:
        raise BrokenCheckpointError(f'it cannot be read ({error.strerror or error})') from None
    except (zlib.error, *OF_JUNK) as error:
        size = osp.getsize(path)
        reason = 'it is empty' if size == 0 else f'it is cut short or no checkpoint ({error})'
        raise BrokenCheckpointError(reason) from None
    absent = [key for key in _NEEDED if not isinstance(checkpoint, dict) or key not in checkpoint]
    if absent:
        raise BrokenCheckpointError(f'it has no {" and no ".join(absent)}')
    meta = checkpoint['meta']
    if not isinstance(meta, dict) or not all(
        isinstance(meta.get(key), int) for key in ('epoch', 'iter')
    ):
        raise BrokenCheckpointError('its meta does not say epoch and iter')
    return meta
