"""The model card beside an exported file."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from ...version import __version__
from ..architecture import describe
from .exported_backbone import ExportedBackbone


@dataclass
class Usage:
    """How to use an exported file.

    Attributes:
        title (str): What it is, such as ``'a state dict of timm'``.
        code (str): Python that loads it, run in its folder: makes ``images``, and ``cls`` (B, D)
            and ``patches`` (B, N, D) of them.
        notes (list[str]): Sentences on what to know.
        tags (dict[str, str]): For the head of a card on Hugging Face.
        config (str): Lines for a config of OpenMMLab, if it is for one.
    """

    title: str
    code: str
    notes: list[str] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    config: str = ''


def model_card(name: str, backbone: ExportedBackbone, usage: Usage) -> str:
    """Markdown that tells what a file of that name is, where it comes from and how to load it."""
    width, (rows, columns) = backbone.arch['embed_dims'], backbone.size
    mean, std = (
        ', or '.join(' '.join(f'{x / scale:.6g}' for x in values) for scale in (1, 255))
        for values in (backbone.mean, backbone.std)
    )
    channels = 'RGB' if backbone.channels == 3 else f'{backbone.channels} channels'
    kind = channels if backbone.channels == 3 else f'of {channels}'
    tags = ''.join(f'{key}: {value}\n' for key, value in usage.tags.items())
    head = f'---\n{tags}---\n' if tags else ''
    config = f'\n## In a config\n```\n{usage.config}```\n' if usage.config else ''
    return f"""\
{head}# {name}
The backbone of a vision transformer as {usage.title}: it turns an image into the feature of its
class token and one feature for each patch. It has no classifier.

| | |
|---|---|
| taken from | `{backbone.source}`, {backbone.format} |
| SHA-256 of that | `{backbone.sha256}` |
| architecture | {describe(backbone.settings)}, feed-forward {backbone.hidden} |
| features | class token {width}, patches N × {width}, row by row |
| image size | {rows}×{columns} |
| mean ({channels}) | {mean} for pixels from 0 to 1 |
| standard deviation | {std} for pixels from 0 to 1 |
| layer norm | ε = {backbone.eps:g} |
| written by | mmc_plugin {__version__}, torch {torch.__version__} |

## Load it
In the folder of this file, with images that are {kind}, less the mean and divided by the standard
deviation:
```python
{usage.code}```
{' '.join(usage.notes)}
{config}
## Licence
The weights keep the licence of the checkpoint that they were taken from; the conversion adds no
terms and lifts none. Read that licence before you pass them on or build on them.
"""
