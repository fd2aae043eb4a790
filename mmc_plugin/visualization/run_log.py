"""Scalars that a run's visualizer wrote."""

from __future__ import annotations

import json
import os
from glob import escape, glob


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
    """
    files = sorted(glob(os.path.join(escape(run_dir), '*', 'vis_data', 'scalars.json')))
    records: list[dict] = []
    for path in files:
        with open(path, encoding='utf-8') as file:
            lines = [line for line in file if line.endswith('\n')]  # the last may be half written
        part = [json.loads(line) for line in lines]
        if part:
            first = part[0]['step']
            records = [each for each in records if each['step'] < first] + part
    if not records:
        raise FileNotFoundError(
            f'There are no scalars in {run_dir!r}: no */vis_data/scalars.json with a line in it. '
            "Name a run's work directory (work_dirs/NAME), and let the run reach its first log."
        )
    return records


def series(records: list[dict], key: str) -> tuple[list[int], list[float]]:
    """Steps and values of one scalar."""
    found = [(each['step'], each[key]) for each in records if key in each]
    return [step for step, _ in found], [value for _, value in found]
