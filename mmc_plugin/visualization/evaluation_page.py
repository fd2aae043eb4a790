"""A report of several evaluations of several checkpoints, beside the paper's figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from ..durable import write_durably
from ..evaluation.part_study import STUDY, parts_vs_objects
from ..evaluation.protocols import PROTOCOLS, Protocol
from .number_table import cell, markdown_lines
from .page import grid, paragraph, picture, table, write_page


@dataclass
class Evaluation:
    """A protocol on a checkpoint.

    Attributes:
        protocol: What was measured.
        checkpoint: Name of the checkpoint.
        folder: Where it was measured.
        problem: Why it has no numbers, in a sentence.
    """

    protocol: Protocol
    checkpoint: str
    folder: Path
    problem: str | None = None

    def report(self) -> Path | None:
        """The newest JSON file that it left."""
        found = sorted(self.folder.glob(self.protocol.report))
        return found[-1] if found else None

    def numbers(self) -> dict[str, float | None]:
        """Label → what was measured; empty if it went wrong."""
        path = None if self.problem else self.report()
        if path is None:
            return {}
        found = json.loads(path.read_text())['numbers']
        return {figure.label: figure.value(found) for figure in self.protocol.figures}

    def pictures(self) -> list[Path]:
        """Those beside the report that belong to it."""
        path = None if self.problem else self.report()
        return [] if path is None else sorted(path.parent.glob(f'{escape(path.stem)}*.png'))


def write_evaluations(
    evaluations: Sequence[Evaluation],
    checkpoints: Mapping[str, dict],
    skipped: Mapping[str, str],
    out: Path,
) -> None:
    """Write ``report.json``, ``report.md`` and ``index.html``.

    Where a protocol of arXiv 2301.11915 was evaluated, also ``parts_vs_objects.md``.

    Args:
        evaluations (Sequence[Evaluation]): So far.
        checkpoints (Mapping[str, dict]): Name → ``path`` and ``sha256``.
        skipped (Mapping[str, str]): Title of a protocol → why it was not evaluated.
        out (Path): Folder, above those of the evaluations.
    """
    protocols = list(dict.fromkeys(each.protocol for each in evaluations))
    found = {(each.protocol, each.checkpoint): each.numbers() for each in evaluations}
    header = ['protocol', 'number', *checkpoints, 'MMC in the paper']
    body = [
        [
            protocol.title,
            figure.label,
            *(cell(found.get((protocol, name), {}).get(figure.label)) for name in checkpoints),
            figure.paper or '–',
        ]
        for protocol in protocols
        for figure in protocol.figures
    ]
    failed = [
        f'{each.protocol.title}, {each.checkpoint}: {each.problem}'
        for each in evaluations
        if each.problem
    ]
    left = [f'{title}: {why}' for title, why in skipped.items()]
    report = dict(
        checkpoints=checkpoints,
        evaluations=[_plain(each, found[each.protocol, each.checkpoint]) for each in evaluations],
        skipped=skipped,
    )
    write_durably(out / 'report.json', json.dumps(report, indent=1, ensure_ascii=False).encode())
    lines = ['# Evaluation', '', *markdown_lines(header, body), '']
    for heading, each in (('Failed', failed), ('Not evaluated', left)):
        lines += [f'## {heading}', '', *(f'- {line}' for line in each), ''] if each else []
    lines += [f'{name}: `{about["path"]}`, SHA-256 {about["sha256"]}  '
              for name, about in checkpoints.items()]  # fmt: skip
    write_durably(out / 'report.md', ('\n'.join(lines) + '\n').encode())
    sections = [('Numbers', grid(header, body))]
    if {protocol.name for protocol in protocols} & {row.protocol for row in STUDY}:
        header, body = parts_vs_objects(
            {(protocol.name, name): each for (protocol, name), each in found.items()},
            list(checkpoints),
            {protocol.name: protocol.title for protocol in PROTOCOLS},
        )
        table_of_parts = '\n'.join([*markdown_lines(header, body), ''])
        write_durably(out / 'parts_vs_objects.md', table_of_parts.encode())
        sections.append(('Parts vs. objects', grid(header, body)))
    for heading, each in (('Failed', failed), ('Not evaluated', left)):
        if each:
            sections.append((heading, ''.join(map(paragraph, each))))
    for protocol in protocols:
        shown = ''
        for each in evaluations:
            drawn = each.pictures() if each.protocol == protocol else []
            shown += paragraph(each.checkpoint) if drawn else ''
            for path in drawn:
                words = f'{protocol.title}, {each.checkpoint}'
                shown += picture(path.relative_to(out).as_posix(), words)
        if shown:
            sections.append((protocol.title, shown))
    intro = paragraph(
        'Accuracies, mIoU, J, F and mAP in per cent; similarity and variance as they are. The '
        "paper's figures are those of its own checkpoints on the whole data."
    ) + table([(name, f'{each["path"]} (SHA-256 {each["sha256"][:16]}…)')
               for name, each in checkpoints.items()])  # fmt: skip
    write_page(str(out / 'index.html'), 'Checkpoints evaluated', intro, sections)


def _plain(each: Evaluation, numbers: dict[str, float | None]) -> dict:
    paper = {figure.label: figure.paper for figure in each.protocol.figures if figure.paper}
    report = each.report()
    return dict(
        protocol=each.protocol.name,
        title=each.protocol.title,
        checkpoint=each.checkpoint,
        numbers=numbers,
        paper=paper,
        problem=each.problem,
        report=None if report is None else str(report),
    )
