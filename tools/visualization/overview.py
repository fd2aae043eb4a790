"""Show in one picture what a run of tools/quickstart.py learned.

    python tools/visualization/overview.py work_dirs/quickstart overview.png

Above, the similarity to a clicked patch before and after training; below, a reconstruction.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS

from mmc_plugin.datasets.image_files import ImageFiles
from mmc_plugin.engine import cli
from mmc_plugin.engine.checkpoint import find_resumable_checkpoint
from mmc_plugin.engine.hooks.reconstruction_panel import corrupt_and_reconstruct, draw_corruption
from mmc_plugin.engine.hooks.similarity_panel import similarity_maps
from mmc_plugin.engine.weights import read_weights
from mmc_plugin.visualization.figures import (
    DPI,
    figure_to_array,
    grid_axes,
    new_figure,
    show_image,
)
from mmc_plugin.visualization.similarity_map import show_similarity


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('run_dir', help='work directory of a finished run')
    parser.add_argument('out', help='PNG to write')
    parser.add_argument('--number', type=int, default=1, help='which of its clicks; default 1')
    parser.add_argument('--coverage', type=float, default=0.5,
                        help='most of the image to fill with noise; default 0.5')
    parser.add_argument('--seed', type=int, default=0, help='of the corruption')
    return parser.parse_args(argv)


def find_clicks(run_dir: Path) -> tuple[Config, dict]:
    """The config that a run left, and in it the settings of its clicks.

    Raises:
        FileNotFoundError: If the folder is none of such a run.
    """
    for path in sorted(run_dir.glob('*.py')):
        cfg = Config.fromfile(path)
        for hook in cfg.get('custom_hooks', []):
            if hook.type == 'SimilarityPanelHook' and \
                    (run_dir / 'vis' / 'similarity_before.npz').is_file():
                return cfg, hook
    raise FileNotFoundError(f'{run_dir} is no work directory of tools/quickstart.py: it lacks the '
                            'config or the similarity before training')


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with cli.one_sentence_errors():
        run_dir = Path(args.run_dir)
        cfg, clicks = find_clicks(run_dir)
        if not 1 <= args.number <= len(clicks.images):
            raise ValueError(f'--number must be from 1 to {len(clicks.images)}, the clicks of '
                             f'this run, got {args.number}')
        checkpoint = find_resumable_checkpoint(str(run_dir))
        if checkpoint is None:
            raise FileNotFoundError(f'there is no whole checkpoint in {run_dir}')
        init_default_scope(cfg.default_scope)
        model = MODELS.build(cfg.model)
        model.load_state_dict(read_weights(checkpoint))

        path, point = clicks.images[args.number - 1], clicks.points[args.number - 1]
        images = {}
        for size in (clicks.size, min(model.backbone.img_size)):
            images[size], readable = ImageFiles([path], size, size)[0]
            if not readable:
                raise ValueError(f'the image {path} cannot be read')
        large, small = images.values()
        before = np.load(run_dir / 'vis' / 'similarity_before.npz')['maps'][args.number - 1]
        after, = similarity_maps(model, large[None], [point])
        mask, noise = draw_corruption(
            [args.coverage], small.shape[-1], model.patch_size, args.seed)
        pictures = corrupt_and_reconstruct(
            model, small[None], mask, torch.zeros(1, dtype=torch.bool), noise)

        figure = new_figure(1400 / DPI, 8.4)
        above, below = figure.subfigures(2, 1)
        row, = grid_axes(above, [''], ['clicked patch', 'before training', 'after training'])
        show_similarity(row, large.permute(1, 2, 0).numpy(),
                        (point[0] * clicks.size, point[1] * clicks.size), (before, after))
        row, = grid_axes(below, [''], ['clean', 'corrupted', 'reconstructed'])
        for axis, picture in zip(row, pictures, strict=True):
            show_image(axis, picture[0])
        picture = figure_to_array(figure)
        if not cv2.imwrite(args.out, picture[..., ::-1]):
            raise ValueError(f'{args.out!r} cannot be written: name a PNG in an existing folder')
    print(f'wrote {args.out}')


if __name__ == '__main__':
    main()
