"""A table of several pretrainings: what each learned, beside what a paper reports."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np

from ..durable import write_durably
from ..errors import InputError
from ..evaluation.protocols import PROTOCOLS
from .curves import training_curves
from .number_table import cell, markdown_lines
from .page import grid, paragraph, picture, write_page
from .run_log import read_scalars


@dataclass
class Row:
    """One run.

    Attributes:
        name: Of the run.
        folder: Holds ``run/``, its work directory, and a folder for each test of its checkpoint.
        problem: Why it has no numbers, in a sentence.
        scores: Numbers by name, accuracies in per cent.
        paper: What a paper reports of it, by the same names.
    """

    name: str
    folder: Path
    problem: str | None = None
    scores: dict[str, float] = field(default_factory=dict)
    paper: dict[str, float] = field(default_factory=dict)

    def words(self) -> str:
        """The numbers in one line."""
        return '  '.join(f'{name} {value:.2f}' for name, value in self.scores.items())


def read_row(name: str, folder: Path, problem: str | None, paper: dict | None = None) -> Row:
    """What a run has left: k-NN of its monitor, and the numbers of its tests.

    Args:
        name (str): Of the run.
        folder (Path): See :class:`Row`.
        problem (str | None): Why the run did not end well.
        paper (dict, optional): A paper's numbers.

    Returns:
        Row: With the teacher's numbers, or the student's where there is no teacher.
    """
    row = Row(name, folder, problem, paper=dict(paper or {}))
    monitor = folder / 'run' / 'feature_monitor.jsonl'
    if monitor.exists():
        last = json.loads(monitor.read_text().splitlines()[-1])
        network = 'teacher' if any('/teacher_' in key for key in last) else 'student'
        row.scores['epochs'] = last['epoch']
        found = [int(key.rsplit('_k', 1)[1]) for key in last if key.startswith('knn/')]
        for kind in ('cls', 'pat'):
            # Left out where the features were not finite.
            if (key := f'knn/{network}_{kind}_k{min(found, default=0)}') in last:
                row.scores[f'k-NN {kind.upper()}'] = last[key]
    for report in sorted(folder.glob('*/*/*.json')):
        if report.parents[1].name == 'run' or report.stem == 'vis_data':
            continue
        found = json.loads(report.read_text())
        row.scores.update(_figures(report.parents[1].name, found))
    return row


def _figures(name: str, report: dict) -> list[tuple[str, float]]:
    """What is tabulated of a report: its protocol's figures; without one, its plain numbers."""
    numbers, config = report.get('numbers', {}), str(report.get('config'))
    for protocol in PROTOCOLS:
        if config.endswith(protocol.config):
            values = [(each.label, each.value(numbers)) for each in protocol.figures]
            return [(label, value) for label, value in values if value is not None]
    return [
        (f'{name} {key}', float(value))
        for key, value in numbers.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]


def order(rows: Sequence[Row], key: str) -> float | None:
    """Kendall's τ_b of the rows' numbers with the paper's; None where fewer than two differ."""
    pairs = [(r.scores[key], r.paper[key]) for r in rows if key in r.scores and key in r.paper]
    if len(pairs) < 2:
        return None
    signs = np.array([np.sign(np.subtract(a, b)) for a, b in combinations(pairs, 2)])
    untied = math.sqrt(np.prod((signs**2).sum(0)))
    return float(signs.prod(1).sum() / untied) if untied else None


def write_comparison(rows: Sequence[Row], out: Path, length: str) -> None:
    """Write ``table.json``, ``table.md``, ``curves.png`` and ``index.html``.

    Args:
        rows (Sequence[Row]): So far.
        out (Path): Folder.
        length (str): Of each run, in words.
    """
    names = list(dict.fromkeys(name for row in rows for name in row.scores))
    header, body = ['run'], []
    for name in names:
        header.append(name)
        if any(name in row.paper for row in rows):
            header.append(f'{name}, paper')
    for row in rows:
        line = [row.name]
        for name in names:
            line.append(cell(row.scores.get(name)))
            if f'{name}, paper' in header:
                line.append(cell(row.paper.get(name)))
        body.append(line)
    taus = {name: tau for name in names if (tau := order(rows, name)) is not None}
    said = [f"Kendall's τ with the paper's order, {name}: {tau:.2f}" for name, tau in taus.items()]
    problems = [f'{row.name}: {row.problem}' for row in rows if row.problem]

    table = dict(length=length, rows=[asdict(row) | dict(folder=str(row.folder)) for row in rows],
                 kendall_tau=taus)  # fmt: skip
    write_durably(out / 'table.json', json.dumps(table, indent=1).encode())
    lines = [*markdown_lines(header, body), '', *said, *problems]
    write_durably(out / 'table.md', ('\n'.join(lines) + '\n').encode())

    runs = {}
    for row in rows:
        try:
            runs[row.name] = read_scalars(str(row.folder / 'run'))
        except (OSError, InputError):  # it has logged nothing
            continue
    sections = [('Scores', grid(header, body) + ''.join(map(paragraph, said + problems)))]
    if runs:
        cv2.imwrite(str(out / 'curves.png'), training_curves(runs)[..., ::-1])
        sections.append(('Curves', picture('curves.png', 'Losses and k-NN of the runs by step')))
    intro = paragraph(f'Each run: {length}, on the same images. Accuracies in per cent.')
    write_page(str(out / 'index.html'), 'Pretrainings compared', intro, sections)
