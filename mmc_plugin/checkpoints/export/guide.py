"""What an exporter says about the file that it wrote."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Guide:
    """How to use an exported file.

    Args:
        title (str): What it is, such as ``'a state dict of timm'``.
        code (str): Python that loads it, run in its folder: defines ``images``, and ``cls`` (B, D)
            and ``patches`` (B, N, D) from them.
        notes (list[str]): Sentences on what to know.
        tags (dict[str, str]): For the head of a card on Hugging Face.
        config (str): Lines for a config of OpenMMLab, if it is for one.
    """

    title: str
    code: str
    notes: list[str] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    config: str = ''
