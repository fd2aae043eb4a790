import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / 'tools' / 'fuzz' / 'images.py'
linux = pytest.mark.skipif(not sys.platform.startswith('linux'), reason='reads /proc')


def run(*arguments):
    return subprocess.run(
        [sys.executable, '-W', 'ignore', str(TOOL), *map(str, arguments)],
        capture_output=True,
        text=True,
    )


@linux
def test_damaged_images_are_read_or_refused():
    found = run('--number', 200, '--seed', 0)
    assert found.returncode == 0, found.stdout + found.stderr
    assert 'tried 200: read ' in found.stdout and 'failed 0' in found.stdout


@linux
def test_what_fails_is_kept(tmp_path):
    found = run('--number', 20, '--megabytes', -1000, '--keep', tmp_path / 'kept')
    assert found.returncode == 1
    assert 'failed 20' in found.stdout and len(list((tmp_path / 'kept').iterdir())) == 20
