"""What the tabs of the page share."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from ..datasets.photographs import find_photographs
from ..errors import UserError
from . import markup
from .pictures import jpeg_uri
from .uploads import read_image

_HERE = Path(__file__).parent
STAGE_JS = (_HERE / 'stage.js').read_text()
PICKER_JS = (_HERE / 'picker.js').read_text()
CSS = (_HERE / 'page.css').read_text()
BY_HAND = "() => 'number'"  # of threshold_rule()
REFUSED = "() => document.querySelectorAll('.dot.new').forEach((dot) => dot.remove())"
# One after another: two networks at once are no faster, and clicks keep their order.
AT_ONCE = dict(concurrency_limit=1, concurrency_id='networks', show_progress='hidden')
BESIDE = dict(concurrency_limit=None, show_progress='hidden')  # what takes no time


def sample_names() -> dict[str, Path]:
    """Photographs of the installed packages that show an object."""
    order = ('chelsea.png', 'astronaut.png', 'coffee.png', 'rocket.jpg', 'flower.jpg', 'china.jpg')
    found = {path.name: path for path in find_photographs()}
    return {name: found[name] for name in order}


def sample_pictures() -> list[tuple[str, str]]:
    """Name and thumbnail of each."""
    pictures = []
    for name, path in sample_names().items():
        image, _ = read_image(path.read_bytes())
        height, width = image.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = image[top : top + side : max(1, side // 140), left : left + side]
        pictures.append((name, jpeg_uri(square[:, :: max(1, side // 140)], 80)))
    return pictures


def said(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with errors that are the visitor's to mend shown on the page."""
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any):
            try:
                yield from function(*args, **kwargs)
            except (UserError, FileNotFoundError) as error:
                raise _shown(error) from None
    else:

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any):
            try:
                return function(*args, **kwargs)
            except (UserError, FileNotFoundError) as error:
                raise _shown(error) from None

    return wrapped


def _shown(error: Exception) -> gr.Error:
    words = error.sentence() if isinstance(error, UserError) else str(error)
    return gr.Error(words, print_exception=False)


def threshold_rule() -> gr.Radio:
    """How the threshold is found."""
    return gr.Radio(
        [('auto', 'auto'), ('Otsu', 'otsu'), ('by hand', 'number')],
        value='auto',
        label='Threshold',
        elem_classes='rule',
    )


def stage() -> gr.HTML:
    """Where pictures are clicked on."""
    return gr.HTML(markup.stage([], 'One moment …'), js_on_load=STAGE_JS)


def pointed(stage: gr.HTML, point: Callable[..., Any], inputs: list, **settings: Any) -> None:
    """Call a function for every point; the dot of one that is refused goes again."""
    event = stage.point(said(point), inputs, trigger_mode='multiple', **settings)
    event.failure(None, None, None, js=REFUSED)


def picker(samples: list, words: str, kind: str, accept: str, limit: int, most: int = 1) -> gr.HTML:
    """Where pictures come from."""
    return gr.HTML(markup.picker(samples, words, kind, accept, limit, most), js_on_load=PICKER_JS)
