"""What the two lines of OpenMMLab differ in, as far as this package has to know it.

The maintained OneDL line and the upstream releases have the same import names and one API in what
is used here. Their packages, versions and needs differ, and that stands in this module alone;
docs/install.md has the table for users, tools/run_tests.sh an environment of each line.
"""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from types import ModuleType

from .errors import MissingPackageError

# The lowest versions, which are upstream's: OneDL's numbers are higher; docs/install.md.
FLOORS = dict(torch='2.4', mmengine='0.10.7', mmcv='2.0.1', mmpretrain='1.0.0')
# What the OneDL line brings along, and upstream does not.
LIBRARIES = ('safetensors',)
# Import name → what pip calls it, on the OneDL line and upstream.
PACKAGES = dict(
    mmengine=('onedl-mmengine', 'mmengine'),
    mmcv=('onedl-mmcv', 'mmcv'),
    mmpretrain=('onedl-mmpretrain', 'mmpretrain'),
    mmseg=('onedl-mmsegmentation', 'mmsegmentation'),
    mmdet=('onedl-mmdetection', 'mmdet'),
)
# Import name → what upstream's wheel imports without asking for it.
BESIDE = dict(mmseg='ftfy regex')
# How begins what OneDL's packages print where an optional part of them is absent.
REMARK = 'Could not import OneDL'
# A module that only compiled operators bring. Upstream mmsegmentation imports it, OneDL's does not;
# mmdetection does on both lines.
OPERATORS = 'mmcv._ext'


def line() -> str:
    """The line that is installed: ``'onedl'`` or ``'upstream'``, by mmengine's package.

    An environment without mmengine counts as ``'onedl'``, which this package's extras install.
    """
    for number, name in enumerate(('onedl', 'upstream')):
        try:
            version(PACKAGES['mmengine'][number])
        except PackageNotFoundError:
            continue
        return name
    return 'onedl'


def install(name: str) -> str:
    """What to type for a host that is missing, so that it is of the line that is installed.

    Args:
        name (str): Import name, a key of :data:`PACKAGES`.
    """
    onedl, upstream = PACKAGES[name]
    if line() == 'onedl':
        return f'pip install {onedl}'
    return ' '.join(['pip install', upstream, *BESIDE.get(name, '').split()])


def operators() -> str:
    """One sentence about operators of mmcv that are not compiled, and how to get them here."""
    if line() == 'onedl':
        return (
            "mmcv's compiled operators are missing: bash tools/run_tests.sh --ops makes an "
            'environment with them, and docs/install.md ("Detection") says how to build them'
        )
    return (
        'mmcv is installed without its compiled operators, which upstream mmsegmentation and '
        'mmdetection need: pip uninstall mmcv-lite, then pip install mmcv, which compiles them '
        'where there is no wheel (docs/install.md)'
    )


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
            way = "pip install 'mmc-plugin[pretrain]' installs the maintained hosts"
            if line() == 'upstream' and name in PACKAGES:
                way = install(name)
            raise MissingPackageError(
                f'mmc_plugin needs {name} ≥ {floor}, which is not installed: {way}.'
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


@contextmanager
def needing_host(name: str, user: str) -> Iterator[None]:
    """Inside: imports of a host that not every installation has.

    Args:
        name (str): Import name, a key of :data:`PACKAGES`.
        user (str): Who needs it.

    Raises:
        ImportError: With one sentence, if it or the compiled operators are missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name == name:
            what = f'which is not installed: {install(name)} (docs/install.md)'
        elif error.name == OPERATORS:
            what = f'for which {operators()}'
        else:
            raise
        raise MissingPackageError(f'{user} needs {name}, {what}') from error


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
        for each in said.getvalue().splitlines():
            if not each.startswith(REMARK):
                print(each, file=sys.stdout)


def _numbers(version: str) -> tuple[int, ...]:
    """Leading numbers of a version: 2.12.1+cu130 → (2, 12, 1)."""
    parts = version.split('+')[0].split('.')
    return tuple(int(part) for part in parts if part.isdigit())
