"""Show what the reconstruction head makes of the output of each of the last layers.

    python tools/visualization/layer_reconstructions.py configs/mmc/vits_folder.py \
        work_dirs/vits_folder/epoch_200.pth my/photo.jpg another/photo.jpg

Each layer's tokens pass through the final norm and the head (arXiv 2308.11448, figure 9). Below
each reconstruction stands its difference to that of the layer before, amplified.
"""

import argparse
from collections.abc import Sequence
from os.path import expanduser
from pathlib import Path


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'config', help='a config file, or the name of one of mmc_plugin, such as mmc/vitb_400e.py'
    )
    parser.add_argument('checkpoint', help='a checkpoint that was trained with it')
    parser.add_argument(
        'images', nargs='*',
        help='image files or folders; by default images of the training set, evenly drawn',
    )  # fmt: skip
    parser.add_argument(
        '--out', type=expanduser, default='work_dirs/layer_reconstructions.png', help='PNG to write'
    )
    parser.add_argument('-n', '--number', type=int, default=4, help='most images to show')
    parser.add_argument(
        '--layers', type=int, nargs='+', metavar='LAYER',
        help='layers, counted from 1 as in the paper (all else here counts from 0); by default '
        'the last six',
    )  # fmt: skip
    parser.add_argument(
        '--alien', action='store_true',
        help='corrupt with regions of another of the images in place of noise or zeros',
    )  # fmt: skip
    parser.add_argument(
        '--coverage', type=float,
        help="most of an image to corrupt, by default that of the config's GMMLMask",
    )  # fmt: skip
    parser.add_argument('--seed', type=int, default=0, help='of the corruption')
    parser.add_argument('--device', default='cpu', help='cpu (default) or cuda')
    parser.add_argument(
        '--cfg-options', nargs='+', action='extend', metavar='KEY=VALUE',
        help='override settings of the config',
    )  # fmt: skip
    args = parser.parse_args(argv)
    if args.number < 1:
        parser.error('--number must be at least 1')
    return args


if __name__ == '__main__':
    parse_args()  # help and mistakes are answered before seconds of imports

import numpy as np
import torch
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS

from mmc_plugin.apis.reconstruction import load_student_weights
from mmc_plugin.checkpoints import read_checkpoint
from mmc_plugin.datasets.image_files import ImageFiles
from mmc_plugin.datasets.image_tree import scan_tree
from mmc_plugin.engine import cli
from mmc_plugin.errors import InputError
from mmc_plugin.evaluation.reconstruction import (
    corrupt_and_reconstruct,
    draw_corruption,
    training_mask,
)
from mmc_plugin.visualization.figures import write_picture
from mmc_plugin.visualization.layers import amplification, layer_panel


def find_images(given: Sequence[str], data_root: str, number: int) -> list[str]:
    """At most ``number`` image files: those given, or evenly drawn from folders."""
    paths = []
    for path in given or [data_root]:
        if Path(path).is_dir():
            found, _, _ = scan_tree(path)
            paths += [str(Path(path, name)) for name in found]
        elif Path(path).is_file():
            paths.append(path)
        else:
            raise FileNotFoundError(f'there is no image or folder {path!r}')
    if not paths:
        raise InputError(f'there is no image in {", ".join(given or [data_root])}')
    number = min(number, len(paths))
    return [paths[i * len(paths) // number] for i in range(number)]


def read_images(paths: Sequence[str], size: int) -> tuple[torch.Tensor, list[str]]:
    """The middle of each image that can be read, uint8 RGB (B, 3, size, size), and their paths.

    Raises:
        ValueError: If none can be read.
    """
    read = zip(paths, ImageFiles(paths, size, size), strict=True)
    images = {path: image for path, (image, readable) in read if readable}
    cli.say_skipped([path for path in paths if path not in images])
    if not images:
        raise InputError('none of the images can be read: name whole ones')
    return torch.stack(list(images.values())), list(images)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with cli.one_sentence_errors():
        cfg = cli.load_config(args.config, args.cfg_options)
        init_default_scope(cfg.get('default_scope', 'mmpretrain'))
        content = read_checkpoint(args.checkpoint).content
        weights = content.get('state_dict', content)
        model = MODELS.build(cfg.model)
        load_student_weights(model, weights, args.checkpoint)
        model.to(args.device).eval()

        dataset = cfg.get('train_dataloader', {}).get('dataset', {})
        paths = find_images(args.images, dataset.get('data_root', ''), args.number)
        size = min(model.backbone.img_size)
        images, paths = read_images(paths, size)
        gmml = training_mask(dataset.get('pipeline', []), size, model.patch_size)
        if args.coverage is not None:
            gmml.noise_ratio = gmml.alien_ratio = args.coverage
        alien = torch.full((len(paths),), args.alien)
        mask, noise = draw_corruption(gmml, alien, size, args.seed)
        depth = len(model.backbone.layers)
        layers = args.layers or list(range(max(depth - 5, 1), depth + 1))
        wrong = [str(layer) for layer in layers if not 1 <= layer <= depth]
        if wrong:
            raise InputError(
                f'--layers are counted from 1 to {depth} in this model, got {", ".join(wrong)}'
            )
        clean, corrupted, shown, _ = corrupt_and_reconstruct(
            model, images, mask, alien, noise, [layer - 1 for layer in layers]
        )
        # Of what is shown: what lies outside the range of pixels cannot be seen to change.
        differences = np.diff(shown.astype(np.float32) / 255, axis=0)
        factor = amplification(differences)
        panel = layer_panel(
            clean, corrupted, shown, differences, layers, factor,
            [Path(path).name for path in paths],
            f'Reconstruction from the output of layers: {Path(args.checkpoint).name}',
        )  # fmt: skip
        write_picture(args.out, panel)
        print(f'wrote {args.out}; differences are shown {factor:g} times as large as they are')


if __name__ == '__main__':
    main()
