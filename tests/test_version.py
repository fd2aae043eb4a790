import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.version import Version

from mmc_plugin import version

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize('name', version.FLOORS)
def test_an_installed_host_may_be_at_its_floor_but_not_below(name, monkeypatch):
    installed = import_module(name).__version__.split('+')[0]
    monkeypatch.setattr(version, 'FLOORS', {name: installed})
    version.check_hosts()
    *numbers, last = version._numbers(installed)
    above = '.'.join(map(str, [*numbers, last + 1]))
    monkeypatch.setattr(version, 'FLOORS', {name: above})
    with pytest.raises(
        ImportError, match=f'needs {name} ≥ {above}, but {installed}.* is installed'
    ):
        version.check_hosts()


def test_the_installed_hosts_are_at_their_floors_or_above():
    for name, floor in version.FLOORS.items():
        assert Version(import_module(name).__version__) >= Version(floor), name


def test_an_old_host_is_named_with_what_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, 'mmcv', SimpleNamespace(__version__='1.7.2'))
    with pytest.raises(ImportError, match='needs mmcv ≥ 2.0.1, but 1.7.2 is installed'):
        version.check_hosts()


def test_a_missing_host_is_named_with_the_way_out(monkeypatch):
    monkeypatch.setitem(version.FLOORS, 'no_such_host', '1.0')
    with pytest.raises(ImportError, match=r'no_such_host ≥ 1.0.*mmc-plugin\[pretrain\]'):
        version.check_hosts()


@pytest.mark.parametrize(
    'text, numbers',
    [('2.12.1+cu130', (2, 12, 1)), ('0.10.7', (0, 10, 7)), ('2.4.0a0', (2, 4))],
)
def test_versions_compare_by_their_numbers(text, numbers):
    assert version._numbers(text) == numbers


def test_what_the_hosts_say_of_their_optional_parts_is_not_shown(tmp_path, monkeypatch, capsys):
    (tmp_path / 'chatty_host.py').write_text("print('Could not import OneDL')\nprint('news')\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert version.import_quietly('chatty_host').__name__ == 'chatty_host'
    assert capsys.readouterr().out == 'news\n'


def test_importing_the_package_is_silent():
    command = [sys.executable, '-W', 'default', '-c', 'import mmc_plugin.segmentation']
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=ROOT)
    assert done.returncode == 0
    assert 'OneDL' not in done.stdout and 'mmcv-lite' not in done.stderr


def test_a_missing_library_is_named_with_its_command(monkeypatch):
    monkeypatch.setattr(version, 'LIBRARIES', ('no_such_library',))
    with pytest.raises(ImportError, match='needs no_such_library.*: pip install no_such_library'):
        version.check_hosts()
