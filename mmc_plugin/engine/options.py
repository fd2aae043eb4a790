"""Settings of a config on the command line: ``--cfg-options key=value``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from mmengine.config import DictAction

from ..errors import InputError

QUOTES = '\'"'
BRACKETS = {'(': ')', '[': ']'}


def parse_options(arguments: Sequence[str]) -> dict[str, Any]:
    """Read ``KEY=VALUE`` arguments, as mmengine's ``DictAction`` does but with paths intact.

    Numbers, ``True``, ``False``, ``None``, ``a,b``, ``[a,b]`` and ``(a,b)``, also nested, mean what
    they mean there. What names an existing file or folder, or stands in quotes (of the program, not
    of the shell: ``key="'a,b'"``), is a string as it stands. White space inside a value is kept,
    and a leading ``~`` is the home folder.

    Args:
        arguments (Sequence[str]): Such as ``['train_cfg.max_epochs=3', 'a.b=[1,2]']``.

    Returns:
        dict[str, Any]: Dotted key → value; the last of equal keys holds.

    Raises:
        InputError: If an argument has no ``=`` or its brackets do not match.
    """
    options = {}
    for argument in arguments:
        key, separator, value = argument.partition('=')
        if not separator or not key:
            raise InputError(f'--cfg-options takes KEY=VALUE, got {argument}')
        try:
            options[key] = _value(value)
        except _Imbalance:
            raise InputError(
                f'--cfg-options: the brackets or quotes of {argument} do not match; where they '
                f'belong to a name, quote it: {key}="\'{value}\'"'
            ) from None
    return options


class _Imbalance(InputError):
    pass


def _value(text: str) -> Any:
    text = text.strip()
    plain = DictAction._parse_int_float_bool(text)
    if not isinstance(plain, str):
        return plain
    if text and os.path.lexists(os.path.expanduser(text)):
        return os.path.expanduser(text)
    if len(text) > 1 and text[0] in QUOTES and text.find(text[0], 1) == len(text) - 1:
        return text[1:-1]
    kind = None
    if text[:1] in BRACKETS and _closes(text) == len(text) - 1:
        kind = tuple if text[0] == '(' else list
        text = text[1:-1]
    parts = _split(text)
    if kind is None and len(parts) == 1:
        return os.path.expanduser(text)
    if not parts[-1].strip():
        del parts[-1]  # nothing between brackets, or after a last comma
    return (kind or list)(_value(part) for part in parts)


def _closes(text: str) -> int:
    """Where the bracket closes that ``text`` begins with."""
    return next((i for i, _, depth in _walk(text) if i and depth == 0), -1)


def _split(text: str) -> list[str]:
    """The parts between the commas that stand outside brackets and quotes."""
    parts, start = [], 0
    for i, character, depth in _walk(text):
        if character == ',' and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    return [*parts, text[start:]]


def _walk(text: str):
    """Position, character and how deep in brackets after it, of what stands outside quotes.

    A quote counts at the beginning of a part only, so that ``it's`` is a name.
    """
    open_, quote, fresh = [], None, True
    for i, character in enumerate(text):
        if quote:
            quote = None if character == quote else quote
            continue
        if character in QUOTES and fresh and character in text[i + 1 :]:
            quote = character
            continue
        if character in BRACKETS:
            open_.append(BRACKETS[character])
        elif character in BRACKETS.values():
            if not open_ or open_.pop() != character:
                raise _Imbalance
        fresh = character in ', ([' if character != ' ' else fresh
        yield i, character, len(open_)
    if open_:
        raise _Imbalance


def expand_home(value: Any) -> Any:
    """``value`` with the home folder for ``~/`` at the beginning of its strings, in place."""
    if isinstance(value, dict):
        for key in value:
            value[key] = expand_home(value[key])
    elif isinstance(value, list | tuple):
        return type(value)(expand_home(each) for each in value)
    elif isinstance(value, str) and value.startswith('~/'):
        return os.path.expanduser(value)
    return value
