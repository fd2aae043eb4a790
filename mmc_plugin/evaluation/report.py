"""The JSON file that every evaluation leaves: what was measured, on which weights, and how."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import numpy as np
import torch

from ..checkpoints import file_hash
from ..durable import write_durably
from ..errors import UserError
from ..version import __version__


def source_hash(source: str) -> str | None:
    """:func:`~mmc_plugin.checkpoints.file_hash` of a checkpoint; None where that finds nothing.

    A report is not lost for want of it: names whose weights are no longer at hand, and folders
    without weights, have none.
    """
    try:
        return file_hash(source)
    except (FileNotFoundError, ConnectionError, UserError):
        return None


def write_report(
    path: str, protocol: str, config: str | None, checkpoint: str | None, numbers: Mapping[str, Any]
) -> None:
    """Write what an evaluation found, whole or not at all.

    Args:
        path (str): The JSON file; its folder is made if need be.
        protocol (str): In words what was measured and how, with the settings that the numbers
            depend on.
        config (str | None): The config file.
        checkpoint (str | None): File, folder or name that the weights came from; None for weights
            that came from nowhere.
        numbers (Mapping): Results; may hold tensors, arrays and NumPy scalars. Numbers that are
            not finite become null, since JSON has no word for them.
    """
    report = dict(
        protocol=protocol,
        config=config,
        checkpoint=None
        if checkpoint is None
        else dict(path=str(checkpoint), sha256=source_hash(checkpoint)),
        numbers=_plain(numbers),
        date=datetime.now(timezone.utc).isoformat(timespec='seconds'),
        versions=dict(mmc_plugin=__version__, torch=torch.__version__),
    )
    folder = os.path.dirname(os.path.abspath(path))
    os.makedirs(folder, exist_ok=True)
    text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)
    write_durably(path, f'{text}\n')


def _plain(value: Any) -> Any:
    """Containers, tensors and NumPy values as JSON knows them."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, torch.Tensor | np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
