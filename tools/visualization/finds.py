"""Pictures of what a pretrained ViT finds.

Click in an image, and see where the same is in others: maps, the best point of each, and whether
the two are each other's best (a folder stands for its images; the best ``--top`` are drawn)::

    python tools/visualization/finds.py click CHECKPOINT IMAGE OTHER... --point 120 80 --out a.png

For many clicks write the patches of a folder to files, and name these in place of it::

    python tools/embed.py CHECKPOINT photos --what patches --size 480 --fit stretch --out bank
    python tools/visualization/finds.py click CHECKPOINT IMAGE bank --point 120 80 --out a.png

Join the patches of two images that are each other's most similar ones::

    python tools/visualization/finds.py match CHECKPOINT IMAGE OTHER --out a.png

Small parts of the images of a folder that look like the one that is clicked on
(arXiv 2301.11915, figures 2 and 4)::

    python tools/visualization/finds.py parts CHECKPOINT IMAGE OTHER... --point 120 80 --out a.png

Objects without a click, by a spectral cut::

    python tools/visualization/finds.py objects CHECKPOINT IMAGE... --number 3 --out a.png
"""

import argparse
import os
from os.path import expanduser


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest='command', required=True)
    click = commands.add_parser('click', help='click in one image, find it in others')
    match = commands.add_parser('match', help='mutual nearest neighbours of two images')
    parts = commands.add_parser('parts', help='parts of images like the one clicked on')
    objects = commands.add_parser('objects', help='objects without a click')
    for each in (click, match, parts, objects):
        each.add_argument('checkpoint', help='a file, folder, timm:<name> or hf:<name>')
    for each in (click, match, parts):
        each.add_argument('image', help='the first image')
    click.add_argument(
        'other', nargs='+', help='images, folders of them, or one bank of their patches'
    )
    parts.add_argument('other', nargs='+', help='images, or folders of them')
    for each in (click, parts):
        each.add_argument(
            '--point', nargs=2, type=float, required=True, metavar=('X', 'Y'),
            help='on the object, in pixels of the image',
        )  # fmt: skip
    click.add_argument('--top', type=int, default=7, help='how many of the others are drawn')
    parts.add_argument('--top', type=int, default=7, help='how many parts are drawn')
    parts.add_argument(
        '--kind', choices=['cls', 'pat', 'hybrid'], default='cls',
        help='class token (default), mean patch token, or both',
    )  # fmt: skip
    parts.add_argument('--size', type=int, default=224, help='side of a part for the network')
    match.add_argument('other', help='the second image')
    match.add_argument('--top', type=int, default=40, help='how many pairs are drawn')
    objects.add_argument('image', nargs='+', help='images, or folders of them')
    objects.add_argument('--number', type=int, default=1, help='objects to look for in each')
    objects.add_argument('--refine', choices=['guided', 'bilateral'], help="to the image's edges")
    for each in (click, match, objects):
        each.add_argument('--size', type=int, default=480, help='side of the resized image')
        each.add_argument(
            '--fit', choices=['stretch', 'pad'], default='stretch',
            help='squeeze the image into the square (default), or keep its aspect',
        )  # fmt: skip
    for each in (click, match, parts, objects):
        each.add_argument('--device', help='by default cuda if there is one, else cpu')
        each.add_argument('--title', default='', help='above the picture')
        each.add_argument(
            '--out', type=expanduser, required=True, help='the picture, such as a.png'
        )
    return parser.parse_args(argv)


if __name__ == '__main__':
    parse_args()  # help and mistakes are answered before seconds of imports

from pathlib import Path

import numpy as np
import torch

from mmc_plugin.apis import (
    PatchBank,
    PromptSegmenter,
    discover_objects,
    find_in_bank,
    find_in_images,
    frozen_features,
    match_images,
    nearest_part_patches,
)
from mmc_plugin.apis.embeddings import MANIFEST
from mmc_plugin.apis.features import to_pixels
from mmc_plugin.datasets.image_tree import scan_paths
from mmc_plugin.datasets.transforms.loading import UnreadableImageError
from mmc_plugin.engine import cli
from mmc_plugin.errors import InputError
from mmc_plugin.visualization.figures import write_picture
from mmc_plugin.visualization.matches import found_panel, match_panel, objects_panel, parts_panel
from mmc_plugin.visualization.zero_shot import Click


def draw_click(args):
    """The picture of ``click``."""
    segmenter = PromptSegmenter(args.checkpoint, args.device, size=args.size, fit=args.fit)
    if len(args.other) == 1 and os.path.isfile(os.path.join(args.other[0], MANIFEST)):
        bank = PatchBank(args.other[0])
        found = find_in_bank(segmenter, args.image, args.point, bank, args.top)
    else:
        found = find_in_files(segmenter, args)
    clicks = []
    for path, match in found:
        mutual = ', mutual' if match.mutual else ''
        x, y = match.point
        print(f'{match.cosine:.3f} at {x:.0f} {y:.0f}{mutual}: {path}')
        image = pixels(path)
        clicks.append(
            Click(
                image, np.array([match.point]), match.similarity,
                np.zeros(image.shape[:2], bool), caption=f'{match.cosine:.2f}{mutual}',
            )
        )  # fmt: skip
    image = pixels(args.image)
    empty = np.zeros(image.shape[:2])
    query = Click(image, np.array([args.point]), empty, empty > 0, caption='clicked')
    return found_panel(query, clicks, args.title)


def find_in_files(segmenter, args):
    """The best of the other images, and what is found in them."""
    found, skipped = [], []
    for path in scan_paths(args.other):
        try:
            (match,) = find_in_images(segmenter, args.image, args.point, [path])
        except UnreadableImageError as error:
            if error.path != path:  # the clicked image
                raise
            skipped.append(f'{path} ({error.reason})')
            continue
        found.append((path, match))
        # Those that will not be drawn need no memory.
        found = sorted(found, key=lambda each: -each[1].cosine)[: args.top]
    cli.say_skipped(skipped)
    if not found:
        raise InputError('none of the other images can be read: name whole ones')
    return found


def draw_match(args):
    """The picture of ``match``."""
    segmenter = PromptSegmenter(args.checkpoint, args.device, size=args.size, fit=args.fit)
    one, other, cosines = match_images(segmenter, args.image, args.other)
    print(f'{len(cosines)} pairs, cosines {cosines.min():.2f} to {cosines.max():.2f}')
    images = [pixels(each) for each in (args.image, args.other)]
    return match_panel(images, (one[: args.top], other[: args.top]), args.title)


def draw_parts(args):
    """The picture of ``parts``; the image itself is not looked in."""
    model = frozen_features(args.checkpoint, args.device, size=args.size)
    own = Path(args.image).resolve()
    paths = [path for path in scan_paths(args.other) if Path(path).resolve() != own]
    if not paths:
        raise InputError('there is no other image to look in')
    query, found, skipped = nearest_part_patches(
        model, args.image, args.point, paths, args.top, args.kind
    )
    cli.say_skipped([f'{error.path} ({error.reason})' for error in skipped])
    if not found:
        raise InputError('none of the other images can be read: name whole ones')
    for each in found:
        print(f'{each.cosine:.3f}: {paths[each.place]}')
    shown = [query, *found]
    captions = ['clicked', *(f'{each.cosine:.2f}' for each in found)]
    return parts_panel(
        [each.square for each in shown], [each.box for each in shown], captions, args.title
    )


def draw_objects(args):
    """The picture of ``objects``."""
    model = frozen_features(args.checkpoint, args.device, size=args.size, fit=args.fit)
    images, found, skipped = [], [], []
    for path in scan_paths(args.image):
        try:
            found.append(discover_objects(model, path, args.number, refine=args.refine,
                                          device=args.device))  # fmt: skip
            images.append(pixels(path))
        except UnreadableImageError as error:
            skipped.append(f'{path} ({error.reason})')
            continue
        for each in found[-1]:
            print(f'{path}: {" ".join(map(str, each.box))}')
    cli.say_skipped(skipped)
    if not images:
        raise InputError('none of the images can be read: name whole ones')
    masks, boxes = ([[getattr(each, key) for each in its] for its in found]
                    for key in ('mask', 'box'))  # fmt: skip
    return objects_panel(images, masks, boxes, args.title)


def pixels(path):
    """uint8 RGB (H, W, 3) of a file."""
    return to_pixels(path).permute(1, 2, 0).numpy()


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    if args.device is None:
        args.device = 'cuda' if torch.cuda.is_available() else 'cpu'
    draw = dict(click=draw_click, match=draw_match, parts=draw_parts, objects=draw_objects)
    draw = draw[args.command]
    with cli.one_sentence_errors():
        if getattr(args, 'top', 1) < 1:
            raise InputError(f'--top must be positive, got {args.top}')
        picture = draw(args)
        write_picture(args.out, picture)
        print(f'wrote {args.out}')


if __name__ == '__main__':
    main()
