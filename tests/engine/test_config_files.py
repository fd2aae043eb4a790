"""Paths from the environment arrive as they are, and configs that cannot be read are explained."""

import os
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config

from mmc_plugin.engine import cli
from mmc_plugin.engine.config_files import read_config
from mmc_plugin.errors import InputError
from mmc_plugin.hosts import line

VALUES = [
    "/it's/here", '/a "b" c', "/both ' and \"", '/new\nline', '/100%/%s', r'/back\slash\1\g<0>\n',
    '/{braces}/{{x}}', '/Bäume 木', '/end\\', "'/quoted'", '#=$X:y', '/tab\tand\rreturn', '/plain',
]  # fmt: skip


@pytest.mark.parametrize('value', VALUES)
def test_what_the_environment_says_stays_as_it_is(value, tmp_path, monkeypatch):
    monkeypatch.setenv('SOME_ROOT', value)
    base = tmp_path / 'base.py'
    base.write_text('one = "{{$SOME_ROOT:data}}/train"\nother = "{{$UNSET_ROOT:data}}"\n')
    path = tmp_path / 'config.py'
    path.write_text("_base_ = ['./base.py']\ntwo = dict(a=['{{ $SOME_ROOT:x }}'])\n")
    cfg = read_config(str(path))
    assert (cfg.one, cfg.two, cfg.other) == (f'{value}/train', dict(a=[value]), 'data')
    assert os.environ['SOME_ROOT'] == value
    # What a run writes into its work dir, and reads when it goes on.
    path.write_text(cfg.pretty_text)
    assert read_config(str(path)).two == dict(a=[value])


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_characters='\0', exclude_categories=['Cs']), min_size=1))
def test_any_text_of_the_environment_stays_as_it_is(value):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv('SOME_ROOT', value)
        path = Path(folder, 'config.py')
        path.write_text("a = '/{{$SOME_ROOT:x}}/b'\n")
        assert read_config(str(path)).a == f'/{value}/b'


def test_values_of_our_own_configs(monkeypatch, tmp_path):
    for name in ('IMAGENET100_ROOT', 'MMC_LINEAR'):
        monkeypatch.setenv(name, "it's")
    loader = cli.load_config('mmc/vits_in100_500e.py', None).train_dataloader
    assert loader.dataset.data_root == "it's/train"
    with pytest.raises(InputError, match="it's_linear_40k.py"):
        cli.load_config('baselines/mocov3_linear_40k.py', None)


def test_code_from_the_environment_is_code(tmp_path, monkeypatch):
    monkeypatch.setenv('SOME_LIST', "['a', 'b']")
    path = tmp_path / 'config.py'
    read = "__import__('os').environ['SOME_LIST']"
    path.write_text(f"a = {{{{'$SOME_LIST:3'}}}}\nb = {read}\n")
    cfg = read_config(str(path))
    assert cfg.a == ['a', 'b'] and cfg.b == "['a', 'b']"
    assert cfg.a == Config.fromfile(str(path)).a


# mmengine 0.10.7 reads a config with one as a config of objects: what it imports does nothing, and
# no variable is replaced.
by_statement = pytest.mark.skipif(line() == 'upstream', reason='import statements in configs')


@pytest.mark.parametrize('text, words', [
    ('a = (1,\nb = 2\n', r'in line 1$|in line 2$'),
    ("a = 'it's'\n", 'in line 1'),
    ('\na = 1 / 0\n', 'ZeroDivisionError: division by zero in line 2 of .*config.py'),
    ('a = b\n', "NameError: name 'b' is not defined in line 1 of"),
    ("_base_ = ['./nowhere.py']\n", 'No such file or directory: .*nowhere.py$'),
    ('_base_ = 3\n', ''),
    ("_base_ = ['./config.py']\n", 'RecursionError'),
    ("_base_ = ['./one.py', './two.py']\n", "Duplicate keys: {'a'}"),
    ("_base_ = ['./one.py']\na = dict(b=1)\n", ''),
    ("a = '{{$UNSET_VARIABLE:}}'\n", 'UNSET_VARIABLE'),
    ('a = dict(text=1)\ntext = 3\n', 'text'),
    ('raise SystemError("stop")\n', 'SystemError: stop'),
    ("__import__('os').remove('/nowhere/at/all')\n", 'No such file'),
    pytest.param("import os\nos.remove('/nowhere/at/all')\n", 'No such file', marks=by_statement),
    ("custom_imports = dict(import_=['os'])\n", 'custom_imports'),
    ("custom_imports = ['mmc_plugin']\n", 'custom_imports'),
    ('\x00', ''),
])  # fmt: skip
def test_what_cannot_be_read_is_explained(text, words, tmp_path):
    for name in ('one', 'two'):
        (tmp_path / f'{name}.py').write_text('a = 1\n')
    path = tmp_path / 'config.py'
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_config(str(path))
    said = str(caught.value)
    assert said.startswith(f'the config {path} cannot be read: ') and re.search(words, said)
    assert '\n' not in said and len(said) < 600


@pytest.mark.parametrize('name', ['config.pth', 'config.py', 'config.json', 'config.yaml'])
def test_files_that_are_no_configs(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(b'PK\3\4\xff\xfe\0{[')
    with pytest.raises(InputError, match='cannot be read: '):
        read_config(str(path))
