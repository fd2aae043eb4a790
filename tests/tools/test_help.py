"""Help and mistakes on the command line are answered before anything heavy is imported."""

import ast
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from mmc_plugin.checkpoints.export import FORMATS

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / 'tools'
FOLDERS = ('model_converters', 'visualization', 'analysis')
NAMES = ['train.py', 'test.py', 'evaluate_all.py', 'embed.py'] + [
    str(path.relative_to(TOOLS)) for each in FOLDERS for path in sorted((TOOLS / each).glob('*.py'))
]
# Runs a tool and prints which of the heavy packages it imported.
PROBE = """
import runpy, sys
heavy = {'torch', 'numpy', 'cv2', 'mmengine', 'mmpretrain', 'mmc_plugin', 'matplotlib'}
try:
    runpy.run_path(sys.argv[0], run_name='__main__')
except SystemExit as stop:
    print('exit', stop.code, sorted(heavy & set(sys.modules)))
"""


@pytest.mark.parametrize('arguments, code', [(['--help'], 0), (['--no-such-flag'], 2)])
@pytest.mark.parametrize('name', NAMES)
def test_arguments_are_read_first(name, arguments, code):
    probe = f'import sys; sys.argv = {[str(TOOLS / name), *arguments]!r}\n{PROBE}'
    done = subprocess.run(
        [sys.executable, '-c', probe], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.stdout.splitlines()[-1] == f'exit {code} []', done.stderr
    assert 'usage:' in done.stdout + done.stderr
    for config in re.findall(r'such\s+as\s+([a-z]\w*/\w+\.py)', done.stdout):
        assert (ROOT / 'configs' / config).is_file()


PROGRAMS = [
    str(path.relative_to(TOOLS)) for path in sorted(TOOLS.rglob('*.py'))
    if 'add_argument(' in path.read_text(encoding='utf-8')
]  # fmt: skip


@pytest.mark.parametrize('name', PROGRAMS)
def test_each_argument_is_explained(name):
    calls = [
        node
        for node in ast.walk(ast.parse((TOOLS / name).read_text(encoding='utf-8')))
        if isinstance(node, ast.Call) and getattr(node.func, 'attr', '') == 'add_argument'
    ]
    assert calls
    unexplained = [each for each in calls if 'help' not in [word.arg for word in each.keywords]]
    assert not [ast.unparse(each) for each in unexplained]


PATHS = {
    '--out', '--work-dir', '--output-dir', '--show-dir', '--resume', '--init-from', '--data',
}  # fmt: skip


@pytest.mark.parametrize('name', [*NAMES, 'quickstart.py', 'dataset_tools/make_shards.py'])
def test_paths_may_begin_with_the_home_folder(name):
    """No shell expands the ~ of --out=~/here."""
    for node in ast.walk(ast.parse((TOOLS / name).read_text(encoding='utf-8'))):
        if isinstance(node, ast.Call) and getattr(node.func, 'attr', '') == 'add_argument':
            if getattr(node.args[0], 'value', None) in PATHS:
                types = [ast.unparse(each.value) for each in node.keywords if each.arg == 'type']
                assert types == ['expanduser'], ast.unparse(node)


def test_a_home_folder_is_found(monkeypatch):
    train = runpy.run_path(str(TOOLS / 'train.py'))
    monkeypatch.setenv('HOME', '/home/me')
    argv = ['train.py', 'a.py', '--work-dir=~/runs', '--resume', '--init-from=~/a.pth']
    monkeypatch.setattr(sys, 'argv', argv)
    args = train['parse_args']()
    assert (args.work_dir, args.init_from, args.resume) == (
        '/home/me/runs', '/home/me/a.pth', 'auto'
    )  # fmt: skip


def test_export_offers_every_format():
    tool = runpy.run_path(str(TOOLS / 'model_converters' / 'export.py'))
    assert tool['FORMATS'] == {name: ending for name, (_, ending) in FORMATS.items()}


def test_a_file_of_the_wrong_kind_is_refused_first():
    argv = [str(TOOLS / 'model_converters' / 'export.py'), 'a.pth', 'a.pt', '--to', 'onnx']
    done = subprocess.run(
        [sys.executable, '-c', f'import sys; sys.argv = {argv!r}\n{PROBE}'],
        capture_output=True, text=True, cwd=ROOT, timeout=60,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == 'exit 2 []'
    assert 'error: a.pt does not end with .onnx, as a file for onnx should' in done.stderr


@pytest.mark.parametrize('script', ['run_tests.sh', 'quickstart.sh', 'demo.sh'])
@pytest.mark.parametrize('arguments', [['--help'], ['-h'], ['some/folder', '--help']])
def test_the_scripts_answer_at_once_and_build_nothing(script, arguments, tmp_path):
    environment = {'PATH': '/usr/bin:/bin', 'MMC_VENV': str(tmp_path / 'venv'), 'PYTHON': 'false'}
    done = subprocess.run(
        ['bash', TOOLS / script, *arguments],
        capture_output=True, text=True, env=environment, timeout=20, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f'bash tools/{script}' in done.stdout and 'MMC_VENV' in done.stdout
    assert '#' not in done.stdout and 'set -euo' not in done.stdout
    assert not list(tmp_path.iterdir())
