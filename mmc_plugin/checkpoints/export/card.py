"""The model card beside an exported file."""

from __future__ import annotations

import torch

from ...version import __version__
from ..architecture import describe
from .guide import Guide
from .subject import Subject

_LICENCE = """\
The weights keep the licence of the checkpoint that they were taken from; the conversion adds no
terms and lifts none. Read that licence before you pass them on or build on them.
"""


def model_card(name: str, subject: Subject, guide: Guide) -> str:
    """Markdown that tells what a file is, where it comes from and how to load it.

    Args:
        name (str): Of the file or folder.
        subject (Subject): What was exported.
        guide (Guide): What its exporter says.
    """
    arch = subject.arch
    height, width = subject.size
    mean, std = (
        f'{_list(values, 1)}, or {_list(values, 255)} for pixels from 0 to 1'
        for values in (subject.mean, subject.std)
    )
    head = ''
    if guide.tags:
        tags = ''.join(f'{key}: {value}\n' for key, value in guide.tags.items())
        head = f'---\n{tags}---\n'
    notes = ' '.join(guide.notes)
    config = f'\n## In a config\n```\n{guide.config}```\n' if guide.config else ''
    return f"""\
{head}# {name}
The backbone of a vision transformer as {guide.title}: it turns an image into the feature of its
class token and one feature for each patch. It has no classifier.

| | |
|---|---|
| taken from | `{subject.source}`, {subject.format} |
| SHA-256 of that | `{subject.sha256}` |
| architecture | {describe(subject.settings)}, feed-forward {subject.hidden} |
| features | class token {arch['embed_dims']}, patches N × {arch['embed_dims']}, row by row |
| image size | {height}×{width} |
| mean (RGB) | {mean} |
| standard deviation | {std} |
| layer norm | ε = {subject.eps:g} |
| written by | mmc_plugin {__version__}, torch {torch.__version__} |

## Load it
In the folder of this file, with images that are RGB, less the mean and divided by the standard
deviation:
```python
{guide.code}```
{notes}
{config}
## Licence
{_LICENCE}"""


def _list(values: tuple[float, ...], scale: float) -> str:
    return ' '.join(f'{value / scale:.6g}' for value in values)
