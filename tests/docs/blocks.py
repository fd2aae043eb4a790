"""The blocks of code on the pages, and what their shell commands call."""

import ast
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / 'README.md',
    ROOT / 'CONTRIBUTING.md',
    *sorted((ROOT / 'docs').glob('*.md')),
    *sorted((ROOT / 'configs').glob('*/README.md')),
]
SHELL, SCRIPT, CONFIG, TEXT = 'shell', 'script', 'config', 'text'
KINDS = dict(bash=SHELL, shell=SHELL, console=SHELL, python=SCRIPT, text=TEXT, bibtex=TEXT)
# Programs that the shell finds are these; each notes how it was called, and ends well.
PROGRAMS = ('python', 'pip', 'srun', 'scontrol', 'docker', 'ruff', 'mkdocs', 'lychee')
NOTE = r"""#!/bin/sh
case "${0##*/} $1" in 'python -c' | 'python -') exec "$REAL" "$@" ;; esac
number=$(ls "$NOTES" | wc -l)
{ printf '%s\0' "${0##*/}" "$@"; printf '\0'; env -0; } >"$NOTES/$(printf %03d "$number")"
"""


@dataclass(frozen=True)
class Block:
    """A block of code: its page, its place among the page's blocks, its kind and its text."""

    page: Path
    number: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f'{self.page.relative_to(ROOT)}-{self.number}'.removeprefix('docs/')


def is_config(text: str) -> bool:
    """Whether Python code only assigns, and calls nothing but ``dict``."""
    tree = ast.parse(text)
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return all(isinstance(each, ast.Assign) for each in tree.body) and all(
        getattr(each, 'id', None) == 'dict' for each in calls
    )


def blocks_of(page: Path) -> list[Block]:
    """All fenced blocks of a page; one in a language that is not known is an error."""
    found = re.findall(
        r'^( *)```(\w*)\n(.*?)^\1```$', page.read_text(encoding='utf-8'), re.M | re.DOTALL
    )
    blocks = []
    for number, (indent, language, text) in enumerate(found, 1):
        kind = KINDS[language]
        text = re.sub(rf'^{indent}', '', text, flags=re.M)
        if kind == SCRIPT and is_config(text):
            kind = CONFIG
        blocks.append(Block(page, number, kind, text))
    return blocks


@dataclass(frozen=True)
class Call:
    """A program that a block calls, with its arguments and the variables of its environment."""

    program: str
    arguments: tuple[str, ...]
    variables: tuple[tuple[str, str], ...]


def plain(text: str, root: Path) -> str:
    """A block with a place for what is to be filled in, and without what may be left out.

    Args:
        text: Of the block.
        root: Folder of the stand-ins, for ``/path/to``, ``/data`` and ``data``.
    """
    text = re.sub(r'(?<![\w/])/(path/to|data)/', f'{root}/', text)
    text = re.sub(r'(?<=[ =])data/', f'{root}/', text)
    text = re.sub(r' \[[A-Z]+( \.\.\.)?\]', '', text)  # [GPUS]
    return re.sub(r'\bCONFIG\b', 'my_config.py', text)


def calls_of(block: Block, root: Path, folder: Path) -> list[Call]:
    """Run the text of a block in bash, with programs that do nothing but tell their arguments.

    Args:
        block: Of shell commands.
        root: Folder of the stand-ins.
        folder: To run in, a copy of the checkout; it gets an environment with the programs.
    """
    venv, notes = folder / '.venv', folder / 'notes'
    before = dict(
        PATH=f'{venv / "bin"}{os.pathsep}/usr/bin{os.pathsep}/bin', REAL=sys.executable,
        NOTES=str(notes), HOME=str(folder), MMC_VENV=str(venv), SLURM_JOB_ID='1',
    )  # fmt: skip
    if not notes.exists():
        notes.mkdir()
        (venv / 'bin').mkdir(parents=True)
        (venv / 'bin' / 'activate').touch()
        for name in PROGRAMS:
            (venv / 'bin' / name).write_text(NOTE)
            (venv / 'bin' / name).chmod(0o755)
        # For tools/_env.sh it is an environment that is complete.
        marks = (
            'mmc_env_key >"$MMC_VENV/mmc_environment"\n'
            'sum=$(cd "$MMC_ROOT" && cat setup.cfg setup.py pyproject.toml mmc_plugin/version.py'
            ' | cksum)\n'
            'echo "$MMC_ROOT $sum" >"$MMC_VENV/mmc_environment.editable"\n'
        )
        script = f'. tools/_env.sh\nPYTHON=$MMC_VENV/bin/python\n{marks}'
        subprocess.run(['bash', '-eu'], input=script, text=True, check=True, env=before, cwd=folder)
    done = subprocess.run(
        ['bash', '-u'], input=plain(block.text, root), text=True, capture_output=True, env=before,
        cwd=folder, timeout=30,
    )  # fmt: skip
    assert not done.stderr, done.stderr
    calls = []
    for note in sorted(notes.iterdir()):
        call, _, variables = note.read_text().partition('\0\0')
        note.unlink()
        program, *arguments = call.split('\0')
        pairs = (each.split('=', 1) for each in variables.split('\0') if '=' in each)
        own = tuple((k, v) for k, v in pairs if k.isupper() and before.get(k) != v
                    and k not in ('PWD', 'OLDPWD', 'SHLVL', '_', 'PYTHONPATH'))  # fmt: skip
        calls.append(Call(program, tuple(arguments), own))
    return calls
