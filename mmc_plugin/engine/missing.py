"""What to install, when something that is imported is not there."""

from __future__ import annotations

import traceback

from .. import hosts
from ..errors import led_to

# Modules whose packages have other names.
PACKAGES = {
    'PIL': 'pillow',
    'cv2': 'opencv-python',
    'skimage': 'scikit-image',
    'sklearn': 'scikit-learn',
    'yaml': 'pyyaml',
}


def missing_package(error: BaseException | None) -> str | None:
    """One sentence about a package that an error, or one that led to it, is about.

    Args:
        error (BaseException | None): Of an import, or raised from one.

    Returns:
        str | None: None if no package is missing.
    """
    for each in led_to(error):
        if isinstance(each, ModuleNotFoundError) and each.name:
            return _sentence(each)
        if isinstance(each, ImportError) and 'pip install' in str(each):
            return ' '.join(str(each).split())  # the hosts' own words
    return None


def _sentence(error: ModuleNotFoundError) -> str:
    top = error.name.partition('.')[0]
    if error.name == hosts.OPERATORS:
        return hosts.operators()
    needs = _importer(error)
    if needs is None:
        return (
            f'the module {error.name} of custom_imports is not found: install its package, or add '
            'the folder that it lies in to PYTHONPATH'
        )
    if top == needs:
        return f'{needs} has no {error.name} in the version that is installed: {error}'
    way = hosts.install(top) if top in hosts.PACKAGES else f'pip install {PACKAGES.get(top, top)}'
    return f'{needs} needs {top}, which is not installed: {way}'


def _importer(error: BaseException) -> str | None:
    """The top package whose code has the import that failed; None if it was asked for by name."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    name = frames[-1].f_globals.get('__name__', '') if frames else ''
    top = name.partition('.')[0]
    return None if top == 'importlib' else top
