"""Reading a config file: errors in a sentence, and what the environment gives stays text."""

from __future__ import annotations

import ast
import os
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.config import Config

from ..errors import InputError, MissingPackageError, UserError, led_to
from .missing import missing_package

# '{{$NAME:default}}' in a string; with quotes inside the braces it stands for code.
_PLACEHOLDER = re.compile(r'\{\{\s*\$(\w+)\s*:\s*(\S*?)\s*\}\}')
_SPECIAL = {'\\': r'\\', "'": r'\'', '"': r'\"', '\n': r'\n', '\r': r'\r'}


def read_config(path: str) -> Config:
    """Read a config file and the modules that it imports, as mmengine does.

    mmengine writes the values of environment variables into the text of a config before it reads
    that as Python, so a path such as ``/it's/here`` would end a string; here it stays a path.

    Args:
        path (str): An existing file.

    Raises:
        InputError: If it cannot be read; with the line.
        MissingPackageError: If a package is missing that it, or what it imports, needs.
    """
    try:
        with _escaped(_variables(Path(path), set())):
            return Config.fromfile(path)
    except Exception as error:  # it is code, which may fail in any way
        for cause in led_to(error):
            if isinstance(cause, UserError):
                raise cause from None
        missing = missing_package(error) if isinstance(error, ImportError) else None
        if missing:
            raise MissingPackageError(missing) from error
        raise InputError(f'the config {path} cannot be read: {_reason(error)}') from error


def _reason(error: Exception) -> str:
    if isinstance(error, SyntaxError):
        return f'{error.msg} in line {error.lineno}'
    if isinstance(error, UnicodeDecodeError):
        return 'it is no text'
    if isinstance(error, OSError) and error.filename:
        return f'{error.strerror}: {error.filename}'
    text = ' '.join(str(error.args[0] if isinstance(error, KeyError) else error).split())
    if 'import_modules_from_strings()' in text:  # mmengine gives it what the config says
        return 'custom_imports must be such as dict(imports=["mmc_plugin"])'
    lines = [
        f' in line {frame.lineno} of {frame.filename}'
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.name == '<module>' and not frame.filename.startswith('<')
    ]
    kind = '' if isinstance(error, OSError) else f'{type(error).__name__}: '
    return f'{kind}{text or "no reason given"}{lines[-1] if lines else ""}'


def _variables(path: Path, seen: set[Path]) -> set[str]:
    """Environment variables that stand in strings of a config and of those that it builds on."""
    if path.suffix != '.py' or path in seen:
        return set()
    seen.add(path)
    try:
        text = path.read_text(encoding='utf-8')
        body = ast.parse(text).body
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return set()  # mmengine will say it
    names = {match[1] for match in _PLACEHOLDER.finditer(text)}
    for node in body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', '') == '_base_':
            for part in ast.walk(node.value):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    base = _PLACEHOLDER.sub(
                        lambda match: os.environ.get(match[1], match[2]), part.value
                    )
                    names |= _variables(path.parent / base, seen)
    return names


@contextmanager
def _escaped(names: set[str]) -> Iterator[None]:
    """Write environment variables, for the time being, as they stand in a string of Python."""
    values = {name: os.environ[name] for name in names if name in os.environ}
    for name, value in values.items():
        literal = ''.join(_SPECIAL.get(character, character) for character in value)
        os.environ[name] = literal.replace('\\', r'\\')  # mmengine puts it through re.sub
    try:
        yield
    finally:
        os.environ.update(values)
