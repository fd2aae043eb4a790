"""Make ImageNet-100 from ImageNet, by links.

Usage::

    python tools/dataset_tools/make_imagenet100.py /data/imagenet [data/imagenet100]

The source holds ``train/<wnid>/*.JPEG`` and ``val/<wnid>/*.JPEG``. Run again, it adds what is
missing.
"""

import argparse
import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path


def default_classes() -> Path:
    """The list of class ids that mmc_plugin ships, found without importing the package."""
    return Path(find_spec('mmc_plugin').origin).parent / 'datasets' / 'imagenet100_wnids.txt'


def link_class(source: Path, target: Path, how: str) -> bool:
    """Make ``target`` show the files of the class folder ``source``.

    Args:
        source: Existing folder.
        target: Folder to make; one that is there already counts as made.
        how: ``'symlink'`` (of the folder), ``'hardlink'`` or ``'copy'`` (of each file).

    Returns:
        Whether anything was done.

    Raises:
        ValueError: If ``target`` is a link to something else.
    """
    if target.is_symlink():
        if target.resolve() == source.resolve():
            return False
        raise ValueError(f'{target} links to {os.readlink(target)}, not to {source}: remove it')
    if target.is_dir():
        return False
    if how == 'symlink':
        target.symlink_to(source.resolve(), target_is_directory=True)
        return True
    # Whole or absent: an interrupted copy leaves only a name that no reader takes for a class.
    part = target.parent.parent / f'.{target.parent.name}_{target.name}.part'
    shutil.rmtree(part, ignore_errors=True)
    copy = os.link if how == 'hardlink' else shutil.copy2
    shutil.copytree(source, part, copy_function=copy)
    part.rename(target)
    return True


def make_subset(root: Path, out: Path, classes: list[str], how: str) -> int:
    """Link the classes of both splits.

    Args:
        root: Folder with ``train`` and ``val``.
        out: Folder to make or complete.
        classes: Names of class folders.
        how: As in :func:`link_class`.

    Returns:
        Number of class folders made, of 2 · len(classes).

    Raises:
        FileNotFoundError: If a split or a class of it is not there; nothing is made then.
    """
    for split in ('train', 'val'):
        folder = root / split
        if not folder.is_dir():
            raise FileNotFoundError(f'{folder} does not exist: name the folder with train and val')
        missing = [name for name in classes if not (folder / name).is_dir()]
        if missing:
            names = ', '.join(missing[:3]) + (', ...' if len(missing) > 3 else '')
            raise FileNotFoundError(
                f'{folder} lacks {len(missing)} of the {len(classes)} classes ({names}): it must '
                'have one folder for each class id'
            )
    made = 0
    for split in ('train', 'val'):
        (out / split).mkdir(parents=True, exist_ok=True)
        for name in classes:
            made += link_class(root / split / name, out / split / name, how)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description='Make ImageNet-100 from ImageNet, by links')
    parser.add_argument('root', type=Path, help='ImageNet: a folder with train/ and val/')
    parser.add_argument(
        'out',
        type=Path,
        nargs='?',
        default=Path('data/imagenet100'),
        help='folder to make (default: data/imagenet100)',
    )
    parser.add_argument(
        '--how',
        choices=['symlink', 'hardlink', 'copy'],
        default='symlink',
        help='hardlink needs one file system, copy about 16 GB',
    )
    parser.add_argument(
        '--classes', type=Path, default=default_classes(), help='file with one class id a line'
    )
    args = parser.parse_args()
    try:
        classes = args.classes.read_text(encoding='utf-8').split()
        made = make_subset(args.root, args.out, classes, args.how)
    except (OSError, ValueError, shutil.Error) as error:
        print(f'error: {error}', file=sys.stderr)
        sys.exit(2)
    print(f'{args.out}: {len(classes)} classes in train and val, {made} folders new.')


if __name__ == '__main__':
    main()
