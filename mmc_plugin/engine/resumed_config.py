"""The config of a run that goes on: what its work dir holds, and what is changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..errors import InputError
from .cli import find_config, load_config, say
from .config_files import read_config
from .options import parse_options

ABSENT = object()


def load_resumed_config(
    path: str,
    options: Sequence[str] | dict | None,
    launcher: str = 'none',
    work_dir: str | None = None,
    strict: bool = True,
) -> Config:
    """Read the config that a run wrote into its work dir, as :func:`load_config` does any other.

    What that run was given on its command line is in there, so that it need not be given again.
    Says which file it is and what the options change. If the work dir holds none of this name,
    ``path`` itself is read. The arguments are those of :func:`load_config`.

    Raises:
        InputError: If the file in the work dir cannot be read, or an option is refused.
    """
    path = find_config(path)
    if work_dir is None:
        work_dir = load_config(path, options, strict=False).work_dir
    dumped = Path(work_dir, Path(path).name)
    if not dumped.is_file() or not dumped.stat().st_size:  # an empty one is of a killed start
        return load_config(path, options, launcher, work_dir, strict)
    try:
        before = read_config(str(dumped))
    except InputError as error:
        raise InputError(
            f'{error}; it is that of the run to resume: move it away to go on with the settings '
            f'of {path}'
        ) from error
    options = options if isinstance(options, dict) else parse_options(options or ())
    cfg = load_config(str(dumped), options, launcher, work_dir, strict)
    if before.get('resume') and 'load_from' not in options:
        # Of the last resume; what the run began from is in the config that it was made from.
        cfg.load_from = read_config(path).get('load_from')
    # tools/train.py has counted the accumulated iterations in already, and will again.
    base = 'auto_scale_lr.base_batch_size'
    if base not in options and _find(before, base) not in (ABSENT, None):
        cfg.auto_scale_lr.base_batch_size *= _find(before, 'optim_wrapper').get(
            'accumulative_counts', 1
        )
    changes = [
        f'{key} {"is new" if old is ABSENT else old} → {new}'
        for key, new in options.items()
        if (old := _find(before, key)) != new
    ]
    say(
        f'--resume: the settings of {dumped}'
        + (f', changed by --cfg-options: {"; ".join(changes)}.' if changes else ', unchanged.')
    )
    return cfg


def _find(cfg: Config, key: str) -> Any:
    """The value of a dotted key; ABSENT if there is none."""
    place = cfg._cfg_dict
    for part in key.split('.'):
        if isinstance(place, list | tuple) and part.lstrip('-').isdigit():
            inside = -len(place) <= int(part) < len(place)
            place = place[int(part)] if inside else ABSENT
        else:
            place = place.get(part, ABSENT) if isinstance(place, dict) else ABSENT
    return place
