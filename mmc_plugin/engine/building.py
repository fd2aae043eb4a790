"""What cannot be built of a config, in a sentence with the reason that the host gives."""

from __future__ import annotations

import traceback
from typing import Any


def unbuildable(error: BaseException) -> str | None:
    """One sentence about an error that a part raised while it was built from its config.

    Args:
        error (BaseException): Of any kind.

    Returns:
        str | None: None if it was raised elsewhere.
    """
    part: Any = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        function, module = frame.f_code.co_name, str(frame.f_globals.get('__name__'))
        if module.startswith('mmengine.') and function.startswith('build_'):
            names = frame.f_locals  # the innermost part that has a name
            part = names.get('obj_cls') or names.get('obj_type') or part
            part = part or function.removeprefix('build_').removeprefix('from_cfg')
    if part is None:
        return None
    name = getattr(part, '__name__', part)
    return f'{name} cannot be built from the config: {reason(error)}{_where(error)}'


def _where(error: BaseException) -> str:
    """How to see the line, of an error that may be one of the part's own code."""
    mistaken = isinstance(error, AttributeError | NameError)
    return ' (with MMC_TRACEBACK=1 in the environment the line is shown)' if mistaken else ''


def reason(error: BaseException) -> str:
    """The text of an error on one line; of one without a text, the line that raised it."""
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    words = ' '.join(str(text).split())
    if isinstance(error, KeyError):
        words = f'there is no {words}' if ' ' not in words else words
    if words:
        return words
    frames = traceback.extract_tb(error.__traceback__)
    return frames[-1].line if frames else type(error).__name__
