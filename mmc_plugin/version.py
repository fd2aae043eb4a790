"""Version of the package, and of the hosts that it needs.

setup.cfg reads ``__version__`` without importing anything else.
"""

import io
import sys
import warnings
from contextlib import redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from .errors import MissingPackageError

__version__ = '0.1.0'

# The lowest versions that the tests were run with; docs/install.md.
FLOORS = dict(torch='2.4', mmengine='0.10.7', mmcv='2.0.1', mmpretrain='1.0.0')
# What upstream hosts do not bring along.
LIBRARIES = ('safetensors',)


def check_hosts() -> None:
    """Look for the hosts, and for what is needed beside them.

    Raises:
        ImportError: With one sentence, if one is missing or too old.
    """
    for name, floor in FLOORS.items():
        try:
            found = import_quietly(name).__version__
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            raise MissingPackageError(
                f'mmc_plugin needs {name} ≥ {floor}, which is not installed: pip install '
                "'mmc-plugin[pretrain]' installs the maintained hosts."
            ) from error
        if _numbers(found) < _numbers(floor):
            raise MissingPackageError(
                f'mmc_plugin needs {name} ≥ {floor}, but {found} is installed: upgrade it.'
            )
    for name in LIBRARIES:
        if find_spec(name) is None:
            raise MissingPackageError(
                f'mmc_plugin needs {name}, which is not installed: pip install {name}'
            )


def import_quietly(name: str) -> ModuleType:
    """Import a host without what it says about optional parts that nothing here uses.

    Args:
        name: Of a module.
    """
    warnings.filterwarnings('ignore', 'Fail to import ``MultiScale', UserWarning, 'mmcv')
    said = io.StringIO()
    try:
        with redirect_stdout(said):
            return import_module(name)
    finally:
        for line in said.getvalue().splitlines():
            if line != 'Could not import OneDL':
                print(line, file=sys.stdout)


def _numbers(version: str) -> tuple[int, ...]:
    """Leading numbers of a version: 2.12.1+cu130 → (2, 12, 1)."""
    parts = version.split('+')[0].split('.')
    return tuple(int(part) for part in parts if part.isdigit())
