"""The page of a run: how it went, its curves and pictures, and what next."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2

from . import page
from .curves import training_curves
from .run_log import read_scalars


def write_run_page(
    work_dir: Path,
    title: str,
    opening: str,
    facts: Sequence[tuple[str, str]],
    steps: Sequence[tuple[str, str]],
) -> list[Path]:
    """Write ``index.html`` into the work directory of a run, with the pictures that it shows.

    Args:
        work_dir (Path): Of a run that has logged something.
        title (str): Plain text.
        opening (str): HTML, at the top.
        facts (Sequence[tuple[str, str]]): How the run went: names and values.
        steps (Sequence[tuple[str, str]]): What to do next: words and commands.

    Returns:
        list[Path]: The page, then its pictures.
    """
    index, pictures = work_dir / 'index.html', write_pictures(work_dir)
    page.write_page(
        str(index),
        title,
        opening,
        [
            ('How the run went', page.table(facts)),
            *(
                (heading, page.paragraph(words) + page.picture(name, words))
                for heading, (name, words) in pictures.items()
            ),
            (
                'What next',
                ''.join(page.paragraph(words) + page.command(text) for words, text in steps),
            ),
        ],
    )
    return [index, *(work_dir / name for name, _ in pictures.values())]


def write_pictures(work_dir: Path) -> dict[str, tuple[str, str]]:
    """Write the curves; put the last reconstruction under a fixed name.

    Returns:
        dict: Heading → (file name, words about it).
    """
    curves = training_curves({work_dir.name: read_scalars(str(work_dir))})
    cv2.imwrite(str(work_dir / 'curves.png'), curves[..., ::-1])
    pictures = {
        'Losses': (
            'curves.png',
            'The losses apart, the learning rate, how many prototypes are in use where there are '
            'some, and how much of the feature space the features fill.',
        )
    }
    panels = sorted(
        (work_dir / 'vis').glob('reconstruction_epoch_*.png'),
        key=lambda path: int(path.stem.rsplit('_', 1)[1]),
    )
    if panels:
        shutil.copyfile(panels[-1], work_dir / 'reconstruction.png')
        pictures['Reconstruction'] = (
            'reconstruction.png',
            'Parts of each image are replaced, beside it stands by what; '
            'the student has to fill them in from what is left. A run of minutes gets to colours, '
            'not to shapes.',
        )
    return pictures
