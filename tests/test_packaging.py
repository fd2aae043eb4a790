"""The wheel and the editable install: what they hold, and that it works from there."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import Distribution
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
NEEDED = ('setup.cfg', 'setup.py', 'pyproject.toml', 'MANIFEST.in', 'model-index.yml', 'LICENSE')
FOLDERS = ('mmc_plugin', 'configs', 'tools', 'requirements')


def run(*command, **kwargs) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=280, **kwargs
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(kind: str, tree: Path, out: Path) -> Path:
    """The wheel or sdist of a source tree, by the build backend itself: no network, no pip."""
    code = 'import sys; from setuptools import build_meta; '
    run(sys.executable, '-c', f'{code}build_meta.build_{kind}(sys.argv[1])', out, cwd=tree)
    (path,) = out.glob('*.whl' if kind == 'wheel' else '*.tar.gz')
    return path


def pip(*arguments, **kwargs) -> str:
    return run(sys.executable, '-m', 'pip', '--disable-pip-version-check', *arguments, **kwargs)


def source_files(folder: Path, *suffixes: str) -> set[str]:
    """Relative paths of the files of a folder, such as ``tools/train.py``."""
    return {
        str(path.relative_to(folder.parent))
        for path in folder.rglob('*')
        if path.is_file()
        and '__pycache__' not in path.parts
        and (not suffixes or path.suffix in suffixes)
    }


@pytest.fixture(scope='module')
def tree(tmp_path_factory) -> Path:
    """A copy of what packaging reads, so that the build leaves nothing in the checkout."""
    tree = tmp_path_factory.mktemp('source') / 'a tree'
    tree.mkdir()
    for name in NEEDED:
        shutil.copy2(ROOT / name, tree / name)
    for name in ('README.md', 'CHANGELOG.md'):
        if (ROOT / name).is_file():
            shutil.copy2(ROOT / name, tree / name)
    skip = shutil.ignore_patterns('__pycache__')
    for name in FOLDERS:
        shutil.copytree(ROOT / name, tree / name, ignore=skip)
    return tree


@pytest.fixture(scope='module')
def wheel(tree, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp('wheel')
    # Left by an earlier build of a config since removed; must not come back.
    stale = tree / 'build' / 'lib' / 'mmc_plugin' / '.mim' / 'configs' / 'removed.py'
    stale.parent.mkdir(parents=True)
    stale.touch()
    return build('wheel', tree, out)


@pytest.fixture(scope='module')
def installed(wheel, tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp('site')
    pip('install', '--no-deps', '--no-index', '--target', target, wheel)
    return target


def test_wheel_has_configs_tools_and_index_under_mim(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if '.dist-info/' not in name}
    expected = source_files(ROOT / 'mmc_plugin', '.py')
    expected.add('mmc_plugin/datasets/imagenet100_wnids.txt')
    expected |= {f'mmc_plugin/demo/{name}' for name in ('page.css', 'picker.js', 'stage.js')}
    expected |= {f'mmc_plugin/.mim/{name}' for name in source_files(ROOT / 'configs')}
    expected |= {f'mmc_plugin/.mim/{name}' for name in source_files(ROOT / 'tools')}
    expected.add('mmc_plugin/.mim/model-index.yml')
    assert names == expected


def test_wheel_requires_nothing_but_names_extras(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (path,) = [name for name in archive.namelist() if name.endswith('/METADATA')]
        metadata = archive.read(path).decode()
    requires = [line for line in metadata.splitlines() if line.startswith('Requires-Dist:')]
    assert all('extra ==' in line for line in requires)
    assert any(line.startswith('Requires-Dist: onedl-mmpretrain') for line in requires)
    for extra in ('pretrain', 'segmentation', 'detection', 'test', 'all'):
        assert f'Provides-Extra: {extra}' in metadata
    assert 'Requires-Python: >=3.10' in metadata


def test_sdist_builds_the_same_wheel(tree, wheel, tmp_path):
    archive = build('sdist', tree, tmp_path)
    with tarfile.open(archive) as file:
        file.extractall(tmp_path, filter='data')
    second = build('wheel', tmp_path / archive.name.removesuffix('.tar.gz'), tmp_path)
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(second) as two:
        assert sorted(one.namelist()) == sorted(two.namelist())


def test_configs_resolve_and_tools_run_from_the_installed_wheel(installed, tmp_path):
    code = """
import runpy
import sys
from importlib.util import find_spec
from pathlib import Path
from mmengine.config import Config
from mmengine.utils import get_installed_path
import mmc_plugin
from mmc_plugin.engine.cli import find_config

site = Path(sys.argv[1])
assert Path(mmc_plugin.__file__).is_relative_to(site), mmc_plugin.__file__
mim = Path(get_installed_path('mmc_plugin')) / '.mim'
assert mim.is_relative_to(site), mim
assert Path(find_config('mmc/vitb_400e.py')).is_relative_to(mim)
names = sorted(path for path in (mim / 'configs').rglob('*.py') if '_base_' not in path.parts)
for name in names:
    # Those of detection stand on mmdet's, which needs operators.
    if name.parent.name != 'detection' or find_spec('mmdet') and find_spec('mmcv._ext'):
        assert Config.fromfile(str(name)).model.type, name
print(len(names))

sys.argv = ['train.py', '-h']
runpy.run_path(str(mim / 'tools' / 'train.py'), run_name='__main__')
"""
    environment = dict(os.environ, PYTHONPATH=str(installed))
    out = run(sys.executable, '-c', code, installed, cwd=tmp_path, env=environment)
    configs = [name for name in source_files(ROOT / 'configs', '.py') if '_base_' not in name]
    assert int(out[: out.index('usage:')].split()[-1]) == len(configs) > 0
    assert '--auto-scale-lr' in out


def test_editable_install_uses_the_sources_and_adds_nothing_to_the_package(tree, tmp_path):
    before = source_files(tree / 'mmc_plugin')
    target = tmp_path / 'site'
    offline = ('--no-deps', '--no-build-isolation', '--no-index')
    pip('install', *offline, '--target', target, '-e', tree)
    assert source_files(tree / 'mmc_plugin') == before
    (found,) = Distribution.discover(name='mmc-plugin', path=[str(target)])
    assert 'mmc_plugin' in found.read_text('top_level.txt').split()
    code = """
import site, sys
from importlib.util import find_spec
site.addsitedir(sys.argv[1])
print(find_spec('mmc_plugin').origin)
"""
    # Without the environment's own packages, which may include an editable install of this one.
    environment = dict(PATH=os.environ['PATH'])
    out = run(sys.executable, '-S', '-c', code, target, cwd=tmp_path, env=environment)
    assert out.strip() == str(tree / 'mmc_plugin' / '__init__.py')


def test_model_index_names_files_that_exist():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    for name in index['Import']:
        for model in yaml.safe_load((ROOT / name).read_text())['Models']:
            assert (ROOT / model['Config']).is_file(), model


def test_imagenet100_list_has_a_hundred_class_ids():
    ids = (ROOT / 'mmc_plugin' / 'datasets' / 'imagenet100_wnids.txt').read_text().split()
    assert len(set(ids)) == len(ids) == 100
    assert all(len(name) == 9 and name[0] == 'n' and name[1:].isdigit() for name in ids)


def test_pinned_set_is_complete_and_consistent_with_its_choices():
    def pins(path: Path) -> dict[str, str]:
        lines = (line.split(';')[0].strip() for line in path.read_text().splitlines())
        return dict(line.split('==') for line in lines if '==' in line and line[0] != '#')

    pinned = pins(ROOT / 'requirements' / 'pinned.txt')
    chosen = pins(ROOT / 'requirements' / 'pinned.in')
    assert chosen and chosen.items() <= pinned.items()
    assert 'opencv-python' not in pinned  # it needs libGL
    assert pinned['torch'] != '2.13.0'
