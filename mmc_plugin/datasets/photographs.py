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


def find_photographs() -> list[Path]:
    """Where the photographs lie in the installed packages.

    Raises:
        FileNotFoundError: If one is not installed.
    """
    found = []
    for package, (inner, names) in PHOTOGRAPHS.items():
        spec = find_spec(package)
        for name in names:
            path = Path(spec.origin).parent / inner / name if spec else None
            if path is None or not path.is_file():
                raise FileNotFoundError(
                    f'the photograph {name} of the package {package} is not installed: run "pip '
                    'install scikit-image scikit-learn", or name a folder of images'
                )
            found.append(path)
    return found


def find_photograph(name: str) -> Path:
    """Where one of the photographs lies.

    Args:
        name (str): Such as ``'chelsea.png'``.

    Raises:
        FileNotFoundError: If there is none of this name, or one is not installed.
    """
    for path in find_photographs():
        if path.name == name:
            return path
    raise FileNotFoundError(f'there is no photograph {name!r} in scikit-image and scikit-learn')


def copy_photographs(folder: Path) -> None:
    """Copy the photographs into a folder, which is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in find_photographs():
        shutil.copyfile(path, folder / path.name)
