"""Photographs that come with scikit-image and scikit-learn, for a first look without a download."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

PHOTOGRAPHS = {
    'skimage': (
        'data',
        (
            'astronaut.png',
            'chelsea.png',
            'coffee.png',
            'hubble_deep_field.jpg',
            'ihc.png',
            'motorcycle_left.png',
            'retina.jpg',
            'rocket.jpg',
        ),
    ),
    'sklearn': ('datasets/images', ('china.jpg', 'flower.jpg')),
}
# What to click on in some of them: (x, y) in the square that is cut from the centre, in [0, 1).
CLICKS = {
    'flower.jpg': (0.5, 0.5),
    'rocket.jpg': (0.5, 0.5),
    'astronaut.png': (0.45, 0.3),
    'chelsea.png': (0.55, 0.35),
}


def copy_photographs(folder: Path) -> None:
    """Copy the photographs out of the installed packages.

    Args:
        folder (Path): Where to; made if it is not there.

    Raises:
        FileNotFoundError: If one is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for package, (inner, names) in PHOTOGRAPHS.items():
        spec = find_spec(package)
        for name in names:
            source = Path(spec.origin).parent / inner / name if spec else None
            if source is None or not source.is_file():
                raise FileNotFoundError(
                    f'the photograph {name} of the package {package} is not installed: run "pip '
                    'install scikit-image scikit-learn", or name a folder of images'
                )
            shutil.copyfile(source, folder / name)
