"""Values on the command line: mmengine's meaning, and paths as they are."""

import os

import pytest
from mmengine.config import Config, DictAction

from mmc_plugin.engine import cli
from mmc_plugin.engine.options import expand_home, parse_options
from mmc_plugin.errors import InputError

NAMES = [
    'my images',
    'a,b',
    '[old] x',
    'a(b,c)',
    'Bäume 木',
    '100%',
    '%s %(x)s',
    "it's",
    'a]b',
    '#=x',
]


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('form', ['{}', '~/{}', '"{}"', "['{}']"])
def test_paths_are_kept_as_they_are(name, form, tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    path = tmp_path / name
    path.mkdir()
    if form == "['{}']" and "'" in name:
        form = '["{}"]'
    argument = form.format(name if '~' in form else path)
    expected = [str(path)] if '[' in form else str(path)
    assert parse_options([f'a.data_root={argument}']) == {'a.data_root': expected}


def test_a_path_that_is_not_there_yet_keeps_its_spaces():
    assert parse_options(['work_dir=/new/my run', 'a=/x/[1]/y z']) == {
        'work_dir': '/new/my run', 'a': '/x/[1]/y z'
    }  # fmt: skip


def test_elements_of_a_list_are_paths_too(tmp_path):
    for name in ('a b', 'c,d'):
        (tmp_path / name).touch()
    parsed = parse_options([f'x=[{tmp_path}/a b, "{tmp_path}/c,d", 3]'])
    assert parsed == {'x': [f'{tmp_path}/a b', f'{tmp_path}/c,d', 3]}


@pytest.mark.parametrize(
    'text',
    ['1', '-2.5', '1e-4', 'true', 'False', 'None', 'abc', '', 'a,b', '1,2,3', '[1,2]', '(1,2)',
     '[]', '()', '[(1,2),[a,b],c]', '(1,)', '[1, 2, x]', '1,', '[[1,2]]', '[(0.1,None)]', 'a=b',
     '(1,2),3', '/a/b.jpg', 'timm:vit', 'mmc_plugin.X', '[[]]'],
)  # fmt: skip
def test_all_else_means_what_it_means_in_mmengine(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse_options([f'k={text}']) == {'k': DictAction._parse_iterable(text)}


def test_numbers_stay_numbers_beside_a_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / '2024').mkdir()
    assert parse_options(['a=2024', "b='2024'", 'a=1']) == {'a': 1, 'b': '2024'}


@pytest.mark.parametrize(
    'argument, sentence',
    [
        ('epochs', 'takes KEY=VALUE, got epochs'),
        ('=3', 'takes KEY=VALUE, got =3'),
        ('a=[1,2', r'of a=\[1,2 do not match'),
        ('a=(1]', r'of a=\(1\] do not match'),
    ],
)
def test_what_cannot_be_read_is_named(argument, sentence):
    with pytest.raises(InputError, match=sentence):
        parse_options([argument])


@pytest.mark.parametrize('name', [name for name in NAMES if "'" not in name])
def test_an_environment_variable_may_hold_any_path(name, tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    config = tmp_path / 'c.py'
    config.write_text(
        "loader = dict(dataset=dict(data_root='{{$MMC_IMAGES:data}}'), x=[('~/b',)])\n"
    )
    for given in (tmp_path / name, f'~/{name}'):
        monkeypatch.setenv('MMC_IMAGES', str(given))
        loader = cli.load_config(str(config), [], strict=False).loader
        assert loader.dataset.data_root == str(tmp_path / name)
        assert loader.x == [(os.path.join(str(tmp_path), 'b'),)]


def test_the_home_folder_is_filled_in_at_the_beginning_only(monkeypatch):
    monkeypatch.setenv('HOME', '/home/me')
    cfg = Config(dict(a='~/x', b=['~/y', dict(c='~/z')], d='a~/x', e='~'))
    expand_home(cfg._cfg_dict)
    assert cfg._cfg_dict == dict(
        a='/home/me/x', b=['/home/me/y', dict(c='/home/me/z')], d='a~/x', e='~'
    )
