"""What is installed fits, and what the two lines of OpenMMLab differ in is known."""

import subprocess
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.version import Version

from mmc_plugin import hosts
from mmc_plugin.errors import MissingPackageError

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize('name', hosts.FLOORS)
def test_an_installed_host_may_be_at_its_floor_but_not_below(name, monkeypatch):
    installed = import_module(name).__version__.split('+')[0]
    monkeypatch.setattr(hosts, 'FLOORS', {name: installed})
    hosts.check_hosts()
    *numbers, last = hosts._numbers(installed)
    above = '.'.join(map(str, [*numbers, last + 1]))
    monkeypatch.setattr(hosts, 'FLOORS', {name: above})
    with pytest.raises(
        ImportError, match=f'needs {name} ≥ {above}, but {installed}.* is installed'
    ):
        hosts.check_hosts()


def test_the_installed_hosts_are_at_their_floors_or_above():
    for name, floor in hosts.FLOORS.items():
        assert Version(import_module(name).__version__) >= Version(floor), name


def test_an_old_host_is_named_with_what_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, 'mmcv', SimpleNamespace(__version__='1.7.2'))
    with pytest.raises(ImportError, match='needs mmcv ≥ 2.0.1, but 1.7.2 is installed'):
        hosts.check_hosts()


@pytest.fixture(params=['onedl', 'upstream'])
def line(request, monkeypatch):
    """As if mmengine were a package of this line."""
    place = ('onedl', 'upstream').index(request.param)
    own = hosts.PACKAGES['mmengine'][place]

    def version(name: str) -> str:
        if name == own:
            return '1'
        raise PackageNotFoundError(name)

    monkeypatch.setattr(hosts, 'version', version)
    return request.param


def test_the_line_is_that_of_the_installed_mmengine(line):
    assert hosts.line() == line


def test_the_line_here_has_the_packages_of_the_table():
    """Of a package's two names, the one of the line is installed, and the other is not."""
    place = ('onedl', 'upstream').index(hosts.line())
    for names in hosts.PACKAGES.values():
        with pytest.raises(PackageNotFoundError):
            version(names[1 - place])
    for name in ('mmengine', 'mmcv', 'mmpretrain'):
        assert version(hosts.PACKAGES[name][place])


def test_nothing_is_installed_beside_the_other_line(line):
    """A host of the other line would replace modules of the same names."""
    for name, (onedl, upstream) in hosts.PACKAGES.items():
        words = hosts.install(name).split()
        assert (onedl in words, upstream in words) == (line == 'onedl', line == 'upstream')
    assert hosts.install('mmseg').endswith(
        'onedl-mmsegmentation' if line == 'onedl' else 'mmsegmentation ftfy regex'
    )


@pytest.mark.parametrize('absent', ['mmdet', 'mmcv._ext', 'scipy'])
def test_a_host_that_is_missing_or_has_no_operators(line, absent):
    kind = ModuleNotFoundError if absent == 'scipy' else MissingPackageError
    with pytest.raises(kind) as caught, hosts.needing_host('mmdet', 'mmc_plugin.detection'):
        raise ModuleNotFoundError(f'No module named {absent!r}', name=absent)
    said = str(caught.value)
    if absent == 'mmdet':
        way = hosts.install('mmdet')
        wanted = f'mmc_plugin.detection needs mmdet, which is not installed: {way} (docs/install.md'
        assert said.startswith(wanted)
    elif absent == 'mmcv._ext':
        assert 'compiled operators' in said and 'docs/install.md' in said
        assert ('mmcv-lite' in said) == (line == 'upstream')


def test_a_missing_host_is_named_with_the_way_out(monkeypatch):
    monkeypatch.setitem(hosts.FLOORS, 'no_such_host', '1.0')
    with pytest.raises(ImportError, match=r'no_such_host ≥ 1.0.*mmc-plugin\[pretrain\]'):
        hosts.check_hosts()


@pytest.mark.parametrize(
    'text, numbers',
    [('2.12.1+cu130', (2, 12, 1)), ('0.10.7', (0, 10, 7)), ('2.4.0a0', (2, 4))],
)
def test_versions_compare_by_their_numbers(text, numbers):
    assert hosts._numbers(text) == numbers


def test_what_the_hosts_say_of_their_optional_parts_is_not_shown(tmp_path, monkeypatch, capsys):
    (tmp_path / 'chatty_host.py').write_text(
        "print('Could not import OneDL')\nprint('Could not import OneDL. More')\nprint('news')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert hosts.import_quietly('chatty_host').__name__ == 'chatty_host'
    assert capsys.readouterr().out == 'news\n'


def test_importing_the_package_is_silent():
    command = [sys.executable, '-W', 'default', '-c', 'import mmc_plugin.segmentation']
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=ROOT)
    assert done.returncode == 0
    assert 'OneDL' not in done.stdout and 'mmcv-lite' not in done.stderr


def test_a_missing_library_is_named_with_its_command(monkeypatch):
    monkeypatch.setattr(hosts, 'LIBRARIES', ('no_such_library',))
    with pytest.raises(ImportError, match='needs no_such_library.*: pip install no_such_library'):
        hosts.check_hosts()
