"""Starting the command-line tools from another one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from .cli import PACKAGE_DIR, ROOT


def run_tool(
    log: Path, *command: object, environment: Mapping[str, str] | None = None
) -> str | None:
    """Run a tool to its end; what it prints is added to a file.

    Args:
        log: The file.
        *command: A tool below ``tools/`` and its arguments.
        environment: Added to that of this process.

    Returns:
        str | None: None if it succeeds, else its last line and where the rest is.
    """
    tool, *arguments = command
    variables = dict(os.environ, PYTHONPATH=str(PACKAGE_DIR.parent)) | dict(environment or {})
    with open(log, 'ab') as file:
        code = subprocess.run(
            [sys.executable, str(ROOT / 'tools' / str(tool)), *map(str, arguments)],
            stdout=file,
            stderr=file,
            env=variables,
        ).returncode
    if code == 0:
        return None
    if code == 130:
        sys.exit(130)
    lines = log.read_text(errors='replace').strip().splitlines()
    return f'failed ({lines[-1] if lines else code}; see {log})'
