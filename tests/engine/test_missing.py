"""Which package is missing is said by its name for pip, and who needs it."""

import sys

import pytest
from mmengine.config import Config

from mmc_plugin import hosts
from mmc_plugin.engine import cli
from mmc_plugin.engine.config_files import read_config
from mmc_plugin.engine.missing import missing_package
from mmc_plugin.errors import MissingPackageError


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Reads a config that imports a module with the given line; returns the sentence."""
    monkeypatch.syspath_prepend(tmp_path)

    def run(line: str, imports: str = 'needy_module') -> str:
        monkeypatch.delitem(sys.modules, 'needy_module', raising=False)
        (tmp_path / 'needy_module.py').write_text(line + '\n')
        config = tmp_path / 'config.py'
        config.write_text(f'custom_imports = dict(imports=[{imports!r}])\n')
        with pytest.raises(ImportError, match='PYTHONPATH'):
            Config.fromfile(str(config))  # what the host makes of any of them
        with pytest.raises(MissingPackageError) as caught:
            read_config(str(config))
        return str(caught.value)

    return run


def test_a_package_that_what_is_imported_needs(read):
    needs = 'needy_module needs {}, which is not installed: pip install {}'
    assert read('import no_such_thing.part') == needs.format('no_such_thing', 'no_such_thing')


@pytest.mark.parametrize(
    'module, line, packages',
    [
        ('cv2', 'upstream', 'opencv-python'),
        ('mmseg', 'onedl', 'onedl-mmsegmentation'),
        ('mmseg', 'upstream', 'mmsegmentation ftfy regex'),
    ],
)
def test_it_has_the_name_that_pip_knows(read, monkeypatch, module, line, packages):
    monkeypatch.setattr(hosts, 'line', lambda: line)
    monkeypatch.setitem(sys.modules, module, None)
    assert read(f'import {module}').endswith(f'pip install {packages}')


@pytest.mark.parametrize('line, words', [
    ('upstream', 'mmcv is installed without its compiled operators'),
    ('onedl', "mmcv's compiled operators are missing"),
])  # fmt: skip
def test_compiled_operators(read, monkeypatch, line, words):
    monkeypatch.setattr(hosts, 'line', lambda: line)
    monkeypatch.setitem(sys.modules, 'mmcv._ext', None)
    said = read("from importlib import import_module\nimport_module('mmcv._ext')")
    assert said.startswith(words)


def test_a_module_that_is_named_and_not_there(read):
    said = read('', imports='no_such_module.at_all')
    assert said.startswith('the module no_such_module of custom_imports is not found')


def test_a_part_that_another_version_has(read):
    said = read('import needy_module.part')
    assert said.startswith('needy_module has no needy_module.part in the version')


def test_our_own_words_win(read):
    said = read("import mmc_plugin.errors as e\nraise e.MissingPackageError('install it')")
    assert said == 'install it'


def test_words_of_the_hosts_and_errors_of_tools(capsys):
    text = 'Please run "pip install\nsome" first'
    assert missing_package(ImportError(text)) == 'Please run "pip install some" first'
    assert missing_package(ImportError("cannot import name 'x'")) is None
    assert missing_package(ValueError()) is None
    with pytest.raises(SystemExit), cli.one_sentence_errors():
        import no_such_package  # noqa: F401
    said = capsys.readouterr().err
    assert said == (
        'error: tests needs no_such_package, which is not installed: pip install no_such_package\n'
    ) or said.startswith('error: test_missing needs no_such_package')
