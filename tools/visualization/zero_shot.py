"""Pictures of what a pretrained ViT knows without labels.

Click on objects: the click, its similarity map and what it cuts out (arXiv 2308.11448, figures 1
and 2)::

    python tools/visualization/zero_shot.py click CHECKPOINT IMAGE --point 120 80 --out click.png

Group the patches of images: k-means and the principal components as RGB (figure 6)::

    python tools/visualization/zero_shot.py patches CHECKPOINT IMAGE... -k 3 --out patches.png

Compare evaluations: curves of mIoU, histograms of similarities (figure 5), or curves of part
retrieval, from the reports of ``tools/test.py`` with ``configs/zero_shot`` or ``configs/parts``::

    python tools/visualization/zero_shot.py compare MMC=prompt_iou.json DINO=other.json --out a.png
"""

import argparse
import json
from os.path import expanduser
from pathlib import Path


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest='command', required=True)
    click = commands.add_parser('click', help='click, similarity map and mask')
    patches = commands.add_parser('patches', help='k-means and PCA of the patches of images')
    for each in (click, patches):
        each.add_argument('checkpoint', help='a file, folder, timm:<name> or hf:<name>')
        each.add_argument('--size', type=int, default=480, help='side of the resized image')
        each.add_argument(
            '--fit',
            choices=['stretch', 'pad'],
            default='stretch',
            help='squeeze an image into the square (default), or pad it and keep its aspect',
        )
        each.add_argument('--layer', type=int, default=-1, help='from 0, or negative from the end')
        each.add_argument('--stride', type=int, help='distance of tokens, a divisor of the patch')
        each.add_argument('--device', help='by default cuda if there is one, else cpu')
        each.add_argument('--title', default='', help='of the figure')
    click.add_argument('image', help='image file')
    patches.add_argument('image', nargs='+', help='image files')
    click.add_argument(
        '--point', nargs=2, type=float, action='append', required=True, metavar=('X', 'Y'),
        help='on the object, in pixels of the image; may be given again',
    )  # fmt: skip
    click.add_argument(
        '--beside', nargs=2, type=float, action='append', default=[], metavar=('X', 'Y'),
        help='beside the object; may be given again',
    )  # fmt: skip
    click.add_argument('--threshold', default='auto', help='auto, otsu, or a cosine')
    click.add_argument(
        '--debias', choices=['mean', 'noise'], help="take away what a patch's place explains"
    )
    click.add_argument('--refine', choices=['guided', 'bilateral'], help="to the image's edges")
    patches.add_argument('-k', '--clusters', type=int, default=3, help='of k-means (default: 3)')
    compare = commands.add_parser('compare', help='reports of several evaluations in one figure')
    compare.add_argument(
        'report',
        nargs='+',
        metavar='[NAME=]REPORT',
        help='JSON of a test, and its name in the figure',
    )
    for each in (click, patches, compare):
        each.add_argument(
            '--out', type=expanduser, required=True, help='the picture, such as a.png'
        )
    return parser.parse_args(argv)


if __name__ == '__main__':
    parse_args()  # help and mistakes are answered before seconds of imports

import numpy as np
import torch

from mmc_plugin.apis.features import frozen_features, to_pixels
from mmc_plugin.apis.prompt_segmenter import PromptSegmenter
from mmc_plugin.datasets.transforms.loading import UnreadableImageError
from mmc_plugin.engine import cli
from mmc_plugin.errors import InputError
from mmc_plugin.evaluation.functional.clustering import kmeans, pca_rgb
from mmc_plugin.structures.image_frame import ImageFrame
from mmc_plugin.visualization.figures import write_picture
from mmc_plugin.visualization.parts import retrieval_curves
from mmc_plugin.visualization.patch_pictures import patch_panel
from mmc_plugin.visualization.zero_shot import (
    Click,
    click_panel,
    similarity_histograms,
    threshold_curves,
)

# How the numbers of a report are drawn: by a key that no other metric writes.
_COMPARED = dict(curve=threshold_curves, histograms=similarity_histograms, recalls=retrieval_curves)


def draw_click(args: argparse.Namespace) -> np.ndarray:
    """The picture of ``click``."""
    try:
        named = args.threshold in ('auto', 'otsu')
        threshold = args.threshold if named else float(args.threshold)
    except ValueError:
        raise InputError(
            f'--threshold must be auto, otsu or a number, got {args.threshold}'
        ) from None
    segmenter = PromptSegmenter(
        args.checkpoint, args.device, size=args.size, fit=args.fit, layer=args.layer,
        stride=args.stride, debias=args.debias,
    )  # fmt: skip
    points = args.point + args.beside
    labels = [1] * len(args.point) + [0] * len(args.beside)
    found = segmenter.segment(args.image, points, labels, threshold, refine=args.refine)
    kind = 'centred cosine' if threshold == 'auto' else 'cosine'
    click = Click(
        to_pixels(args.image).permute(1, 2, 0).numpy(), np.array(points), found.similarity,
        found.mask, labels=labels, caption=f'{kind} > {found.threshold:.2f}',
    )  # fmt: skip
    return click_panel([click], args.title)


def draw_patches(args: argparse.Namespace) -> np.ndarray:
    """The picture of ``patches``."""
    model = frozen_features(args.checkpoint, args.device, size=args.size, fit=args.fit)
    images, clusters, colours, skipped = [], [], [], []
    for path in args.image:
        try:
            pixels = to_pixels(path)
        except UnreadableImageError as error:
            skipped.append(f'{path} ({error.reason})')
            continue
        tokens = model.grid(model.prepare([pixels]), args.layer, args.stride)[0].cpu()  # (h, w, D)
        frame = ImageFrame(*pixels.shape[1:], model.canvas(), model.fit)
        rows, columns = frame.content_cells(*tokens.shape[:2])
        unit = torch.nn.functional.normalize(tokens[:rows, :columns].float(), dim=-1)
        labels, _, _ = kmeans(unit.flatten(0, 1), args.clusters)
        images.append(pixels.permute(1, 2, 0).numpy())
        clusters.append(labels.view(rows, columns).numpy())
        colours.append(pca_rgb(unit).numpy())
    cli.say_skipped(skipped)
    if not images:
        raise InputError('none of the images can be read: name whole ones')
    return patch_panel(images, clusters, colours, args.title)


def read_report(argument: str) -> tuple[str, dict]:
    """Name and numbers of a report, given as ``NAME=PATH`` or ``PATH``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no report that can be compared.
    """
    name, path = '', argument
    if '=' in argument and not Path(argument).is_file():
        name, _, path = argument.partition('=')
    if not Path(path).is_file():
        raise FileNotFoundError(f'the report {path} does not exist')
    try:
        numbers = json.loads(Path(path).read_text())['numbers']
    except (ValueError, KeyError, TypeError):
        numbers = {}
    if not _COMPARED.keys() & set(numbers):
        raise InputError(f'{path} is no report of PromptIoU, SimilarityOverlap or PartRetrieval')
    return name or Path(path).parent.name or Path(path).stem, numbers


def draw_compare(args: argparse.Namespace) -> np.ndarray:
    """The picture of ``compare``."""
    runs = dict(read_report(each) for each in args.report)
    if len(runs) < len(args.report):
        raise InputError('two reports have the same name: tell them apart as NAME=REPORT')
    for key, draw in _COMPARED.items():
        if all(key in numbers for numbers in runs.values()):
            return draw(runs)
    raise InputError('reports of different metrics cannot be in one figure')


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    if args.command != 'compare' and args.device is None:
        args.device = 'cuda' if torch.cuda.is_available() else 'cpu'
    draw = dict(click=draw_click, patches=draw_patches, compare=draw_compare)[args.command]
    with cli.one_sentence_errors():
        picture = draw(args)
        write_picture(args.out, picture)
        print(f'wrote {args.out}')


if __name__ == '__main__':
    main()
