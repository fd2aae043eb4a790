"""Scalars that a run's visualizer wrote."""

from __future__ import annotations

import json
import os
import sys
from glob import escape, glob

from ..errors import InputError

# A pretraining of 800 epochs on ImageNet that logs every 50 iterations writes some 25 MB.
_MAX_BYTES = 2**27
_MAX_STEP = 2**53


def read_scalars(run_dir: str) -> list[dict]:
    """Scalars of a run, over all the times that it was started.

    mmengine's ``LocalVisBackend`` writes a ``vis_data/scalars.json`` each time. A resumed run goes
    on from its last checkpoint, so what was logged after that step before is left out.

    Args:
        run_dir (str): The run's work directory.

    Returns:
        list[dict]: What was logged together, with its ``step``, in order.

    Raises:
        FileNotFoundError: If there are no scalars below the folder.
        InputError: If a file is none, is larger than 128 MiB or has a line that is not what the
            visualizer writes.
    """
    files = sorted(glob(os.path.join(escape(run_dir), '*', 'vis_data', 'scalars.json')))
    records: list[dict] = []
    for path in files:
        part = _read_lines(path)
        if part:
            first = part[0]['step']
            records = [each for each in records if each['step'] < first] + part
    if not records:
        raise FileNotFoundError(
            f'There are no scalars in {run_dir!r}: no */vis_data/scalars.json with a line in it. '
            "Name a run's work directory (work_dirs/NAME), and let the run reach its first log."
        )
    return records


def _read_lines(path: str) -> list[dict]:
    """Records of a file; its last line may be half written."""
    if not os.path.isfile(path):
        raise InputError(f'{path!r} is not a file, so it holds no scalars of a run.')
    if os.path.getsize(path) > _MAX_BYTES:
        raise InputError(
            f'{path!r} is larger than {_MAX_BYTES >> 20} MiB, which no log of a run is: '
            'name another work directory.'
        )
    records = []
    with open(path, 'rb') as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b'\n'):
                break
            try:
                record = json.loads(line.decode())
                step = record['step']
                sound = type(step) is int and abs(step) <= _MAX_STEP
            except (ValueError, TypeError, LookupError, RecursionError):
                sound = False
            if not sound:
                raise InputError(
                    f"{path!r}, line {number}: not a JSON object with a whole number as 'step', "
                    "as a run's visualizer writes them; remove the line."
                )
            records.append(record)
    return records


def series(records: list[dict], key: str) -> tuple[list[int], list[float]]:
    """Steps and values of one scalar, without what is logged under its name but is no number."""
    found = [(each['step'], each[key]) for each in records if _is_number(each.get(key))]
    return [step for step, _ in found], [value for _, value in found]


def _is_number(value: object) -> bool:
    if type(value) is int:
        return abs(value) <= sys.float_info.max
    return isinstance(value, float)
