"""Numbers in tables of pages and of Markdown."""

from collections.abc import Sequence


def cell(value: float | None) -> str:
    """A number as a table shows it; a dash for none."""
    if value is None:
        return '–'
    return f'{value:.0f}' if float(value).is_integer() else f'{value:.2f}'


def markdown_lines(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table in Markdown."""
    return ['| ' + ' | '.join(each) + ' |' for each in (header, ['---'] * len(header), *rows)]
