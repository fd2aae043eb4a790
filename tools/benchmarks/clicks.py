"""What the benchmarks of clicks share: networks, images with targets, and the two halves of them.

Settings are chosen on the images with even ids and reported on those with odd ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS, MODELS
from torch import Tensor

from mmc_plugin.apis.features import frozen_features
from mmc_plugin.engine import cli
from mmc_plugin.errors import InputError
from mmc_plugin.evaluation.functional.prompt_masks import (
    centred_tokens,
    iou_from_counts,
    pixel_codes,
    prompt_similarity,
    threshold_counts,
)
from mmc_plugin.models.features import FrozenFeatures
from mmc_plugin.structures.image_frame import ImageFrame

RANDOM = 'random'  # ViT-S/16 with random weights


def parser(description: str) -> argparse.ArgumentParser:
    """Options of both benchmarks."""
    found = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument(
        'network', nargs='+', metavar='NAME=CHECKPOINT', help=f'or {RANDOM}: ViT-S/16, untrained'
    )
    found.add_argument('--config', default='zero_shot/vit_coco.py', help='for its data set')
    found.add_argument('--size', type=int, default=480, help='side of the resized image')
    found.add_argument('--repeats', type=int, default=1, help='clicks on each target')
    found.add_argument('--max-images', type=int, help='only so many images of the data set')
    found.add_argument(
        '--device',
        default='cuda' if torch.cuda.is_available() else 'cpu',
        help='cpu or cuda; by default cuda if there is one',
    )
    found.add_argument('--threads', type=int, default=1, help='threads on a CPU')
    found.add_argument('--out', type=Path, help='JSON file for the results')
    return found


@contextmanager
def halves(
    description: str, argv: Sequence[str] | None
) -> Iterator[tuple[argparse.Namespace, list[ClickImage], list[ClickImage]]]:
    """Options, images with even ids and images with odd ones; a mistake ends in one sentence."""
    args = parser(description).parse_args(argv)
    torch.set_num_threads(args.threads)
    init_default_scope('mmpretrain')
    MMLogger.get_instance('benchmark', log_level='ERROR')
    with cli.one_sentence_errors():
        yield args, *click_images(args)


def networks(args: argparse.Namespace) -> Iterator[tuple[str, FrozenFeatures]]:
    """Names and networks, each built when it is its turn."""
    for argument in args.network:
        name, _, checkpoint = argument.rpartition('=')
        if checkpoint == RANDOM:
            cfg = Config.fromfile(cli.find_config('zero_shot/random_vits_coco.py')).model
            yield name or RANDOM, MODELS.build(dict(cfg, size=args.size)).to(args.device)
        else:
            model = frozen_features(checkpoint, args.device, size=args.size)
            yield name or Path(checkpoint).stem, model


@dataclass
class ClickImage:
    """An image, its targets and the clicks on them, P in all."""

    number: int
    pixels: Tensor  # uint8 (3, H, W)
    masks: Tensor  # bool (M, H, W)
    ignore: Tensor  # bool (H, W)
    points: Tensor  # (P, 2)
    owner: Tensor  # int64 (P, )

    def tokens(self, model: FrozenFeatures, stride: int | None = None) -> Tensor:
        """(h, w, D)."""
        return model.grid(model.prepare([self.pixels]), -1, stride)[0]

    def frame(self, model: FrozenFeatures) -> ImageFrame:
        """How it lies on the network's canvas."""
        return ImageFrame(*self.masks.shape[1:], model.canvas(), model.fit)

    def maps(self, model: FrozenFeatures, tokens: Tensor, centred: bool) -> Tensor:
        """Similarities to the clicks, of the tokens less their mean if ``centred``; (P, h, w)."""
        frame, cells = self.frame(model), tokens.shape[:2]
        if centred:
            tokens = centred_tokens(tokens, *frame.content_cells(*cells))
        return prompt_similarity(tokens, frame.cell(self.points, *cells).to(tokens.device))

    def ious(self, full: Tensor, thresholds: Tensor) -> Tensor:
        """IoU (P, T) of maps (P, H, W) above thresholds (T, )."""
        frame = ImageFrame(*full.shape[1:], full.shape[1])  # the maps have its size already
        codes = pixel_codes(self.masks, self.ignore)
        inside, outside = threshold_counts(full, codes, self.owner, thresholds, frame)
        return iou_from_counts(inside, outside, (codes == 1).sum((1, 2))[self.owner])


def click_images(args: argparse.Namespace) -> tuple[list[ClickImage], list[ClickImage]]:
    """The images with even ids, and those with odd ones; unusable ones are left out.

    Raises:
        ValueError: If one of the two halves is empty.
    """
    cfg = Config.fromfile(cli.find_config(args.config)).test_dataloader.dataset
    cfg.max_images = args.max_images
    for step in cfg.pipeline:
        if step.type == 'DrawPrompts':
            step.repeats = args.repeats
    dataset = DATASETS.build(cfg)
    halves: tuple[list, list] = ([], [])
    for i in range(len(dataset)):
        data = dataset[i]
        sample = data['data_samples']
        if sample.skipped is not None:
            continue
        number, clicks, _ = sample.points.shape
        key = dataset.get_data_info(i)['image_key']
        halves[key % 2].append(
            ClickImage(
                key, data['inputs'], sample.masks, sample.ignore, sample.points.flatten(0, 1),
                torch.arange(number).repeat_interleave(clicks),
            )
        )  # fmt: skip
    if not all(halves):
        raise InputError('There must be images with even ids and images with odd ids.')
    return halves
