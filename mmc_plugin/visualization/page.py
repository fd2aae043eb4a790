"""A page that shows a run: one HTML file beside its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from string import Template
from urllib.parse import quote

from ..durable import write_durably

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; }
body { font: 16px/1.55 system-ui, "DejaVu Sans", sans-serif; margin: 0 auto; max-width: 60rem;
  padding: 1.5rem; color: #222; background: #fff; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: .5rem 0; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .5rem; border-bottom: 1px solid #ddd; }
p { margin: .4rem 0 .8rem; }
img { display: block; max-width: 100%; height: auto; margin: .8rem auto; background: #fff;
  border: 1px solid #ddd; border-radius: 6px; }
table { border-collapse: collapse; }
th, td { text-align: left; padding: .25rem 1.2rem .25rem 0; vertical-align: top; }
th { font-weight: 600; white-space: nowrap; }
td { overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
.wide td { overflow-wrap: normal; font-variant-numeric: tabular-nums; }
.gallery { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr));
  gap: .8rem; margin: 1rem 0; }
figure { margin: 0; }
figure img { margin: 0; width: 100%; border: 0; }
figcaption { font-size: .85rem; line-height: 1.35; margin-top: .3rem; }
figcaption small { display: block; color: #666; font-size: inherit; }
.scale { height: .8rem; border-radius: 3px; }
.ends { display: flex; justify-content: space-between; font-size: .85rem; gap: 1rem; }
pre { background: #f4f4f4; border-radius: 6px; padding: .7rem .9rem; white-space: pre-wrap;
  overflow-wrap: anywhere;
  font-size: .85rem; line-height: 1.4; }
@media (prefers-color-scheme: dark) {
  body { color: #ddd; background: #181818; }
  h2, img { border-color: #444; }
  figcaption small { color: #aaa; }
  pre { background: #262626; }
}
</style>
</head>
<body>
<h1>$title</h1>
$intro
$sections
</body>
</html>
""")


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f'<p>{escape(text)}</p>'


def table(rows: Sequence[tuple[str, str]]) -> str:
    """A table of names and what they stand for."""
    cells = '\n'.join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'
        for name, value in rows
    )
    return f'<table>\n{cells}\n</table>'


def grid(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with a header, which scrolls by itself where it is too wide."""
    head = ''.join(f'<th scope="col">{escape(each)}</th>' for each in header)
    body = '\n'.join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + ''.join(f'<td>{escape(each)}</td>' for each in row[1:])
        + '</tr>'
        for row in rows
    )
    return f'<div class="wide"><table>\n<tr>{head}</tr>\n{body}\n</table></div>'


def picture(name: str, words: str) -> str:
    """A picture that lies beside the page, with words for those who cannot see it."""
    return f'<img src="{quote(name)}" alt="{escape(words)}">'


def gallery(pictures: Sequence[tuple[str, str, str]]) -> str:
    """Pictures side by side, as many as the window is wide enough for.

    Args:
        pictures (Sequence[tuple[str, str, str]]): File beside the page, caption, and what is
            written small below it.
    """
    cells = '\n'.join(
        f'<figure><img src="{quote(name)}" alt="{escape(f"{words} {more}".strip())}">'
        f'<figcaption>{escape(words)}<small>{escape(more)}</small></figcaption></figure>'
        for name, words, more in pictures
    )
    return f'<div class="gallery">\n{cells}\n</div>'


def colour_bar(colours: Sequence[str], low: str, middle: str, high: str) -> str:
    """A bar of colours, with words at its ends and in between."""
    ends = ''.join(f'<span>{escape(each)}</span>' for each in (low, middle, high))
    gradient = ', '.join(map(escape, colours))
    return (
        f'<div class="scale" style="background: linear-gradient(to right, {gradient})"></div>\n'
        f'<div class="ends">{ends}</div>'
    )


def command(text: str) -> str:
    """A command, or several lines of code."""
    return f'<pre>{escape(text)}</pre>'


def write_page(path: str, title: str, intro: str, sections: Sequence[tuple[str, str]]) -> None:
    """Write a page without outside references but to pictures beside it.

    Args:
        path (str): The HTML file.
        title (str): Plain text.
        intro (str): HTML.
        sections (Sequence[tuple[str, str]]): Headings as plain text, bodies as HTML.
    """
    body = '\n'.join(f'<h2>{escape(heading)}</h2>\n{html}' for heading, html in sections)
    text = _PAGE.substitute(title=escape(title), intro=intro, sections=body)
    write_durably(path, text)
