"""HTML of the page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .session import Points

KEYS = (
    'Arrow keys move the cross, Enter sets a point on the object, Shift and Enter one beside it, '
    'Backspace takes the last back.'
)


def view(source: str, alt: str, caption: str, points: Points | None = None, note: str = '') -> str:
    """A picture with its caption; with points it can be clicked."""
    image = f'<img src="{source}" alt="{escape(alt)}" draggable="false">'
    if points is not None:
        dots = ''.join(
            f'<span class="dot {"on" if label else "beside"}" aria-hidden="true" '
            f'style="left:{100 * x / points.width:.2f}%;top:{100 * y / points.height:.2f}%"></span>'
            for (x, y), label in zip(points.places, points.labels, strict=True)
        )
        image = (
            f'<div class="click-area" tabindex="0" role="application" '
            f'aria-label="{escape(alt)}. {KEYS}">{image}{dots}'
            '<span class="cross" aria-hidden="true"></span></div>'
        )
    note = f' <small>{escape(note)}</small>' if note else ''
    return f'<figure>{image}<figcaption>{escape(caption)}{note}</figcaption></figure>'


def row(title: str, words: str, views: Sequence[str]) -> str:
    """The views of one network."""
    return (
        f'<section class="network" aria-label="{escape(title)}"><h3>{escape(title)} '
        f'<small>{escape(words)}</small></h3><div class="views">{"".join(views)}</div></section>'
    )


def stage(rows: Sequence[str], hint: str = '') -> str:
    """All that is shown of an image."""
    hint = f'<p class="hint">{escape(hint)}</p>' if hint else ''
    return f'<div class="stage" data-ready="1">{hint}{"".join(rows)}</div>'


def message(words: str, hidden: bool = False) -> str:
    """A line of news; hidden, it is for screen readers only."""
    kind = 'news heard' if hidden else 'news'
    return f'<p class="{kind}" role="status" aria-live="polite">{escape(words)}</p>'


def progress(done: int, total: int, words: str) -> str:
    """A bar with words."""
    return (
        f'<p class="news" role="status"><progress max="{total}" value="{done}" '
        f'aria-label="{escape(words)}"></progress> {escape(words)}</p>'
    )


def player(source: str, words: str) -> str:
    """A video."""
    return (
        f'<video controls loop autoplay muted playsinline src="{source}" '
        f'aria-label="{escape(words)}"></video>'
        f'<p class="news" role="status">{escape(words)}. '
        f'<a href="{source}" download="followed.webm">Download</a></p>'
    )


def picker(
    samples: Sequence[tuple[str, str]], words: str, kind: str, accept: str, limit: int, most: int
) -> str:
    """Samples, (name, source) of the thumbnail each, and a place for so many files of a kind."""
    buttons = ''.join(
        f'<button type="button" class="sample" data-name="{escape(name)}" title="{escape(name)}">'
        f'<img src="{source}" alt="Sample photograph {escape(name)}"></button>'
        for name, source in samples
    )
    several, folder = '', ''
    if most > 1:
        several = ' multiple'
        folder = '<label class="drop folder"><input type="file" webkitdirectory>A folder</label>'
    return (
        f'<div class="picker" data-kind="{kind}" data-limit="{limit}" data-most="{most}">'
        f'<label class="drop"><input type="file" accept="{accept}"{several}>'
        f'<span role="status">{escape(words)}</span></label>{folder}'
        f'<div class="samples">{buttons}</div></div>'
    )


def header(title: str, networks: Sequence[tuple[str, str, str]]) -> str:
    """The head of the page; (name, path, words) of each network."""
    lines = ''.join(
        f'<li><b>{escape(name)}</b>: {escape(words)} (<code>{escape(path)}</code>)</li>'
        for name, path, words in networks
    )
    return (
        f'<header class="head"><h1>{escape(title)}</h1><p>Click on something in the image. What '
        'the network finds similar to it lights up.</p>'
        f'<details{" open" if len(networks) == 1 else ""}><summary>Whose weights these are'
        f'</summary><ul>{lines}</ul></details></header>'
    )
