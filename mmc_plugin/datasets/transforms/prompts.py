"""Clicks on masks, and their way to an evaluation."""

from __future__ import annotations

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from mmpretrain.registry import TRANSFORMS

from ...errors import InputError
from ...structures.grid_points import cell_centres, centre_prompts, draw_prompts
from ...structures.image_frame import ImageFrame
from .base import Transform
from .loading import UnreadableImageError


@TRANSFORMS.register_module()
class DrawPrompts(Transform):
    """Draw the points to click on in each mask.

    A grid is laid over the image. Points are the centres of cells that are drawn among those at
    least half inside the mask, or of the most covered one if there is none [arXiv 2308.11448,
    zero-shot segmentation; the rule for small masks is ours]. They follow from the seed, the
    image, the target and the number of the repeat, and from nothing else, so that all networks
    get the same, whatever their patches.

    Required keys: ``targets``, ``image_key``. Added key: ``points``, float64 (M, R, 2), in pixels
    (x, y) of the masks.

    Args:
        grid (int): Cells in a row and in a column. Defaults to 30: patches of 16 at 480².
        repeats (int): R points for each mask. Defaults to 5.
        how (str): ``'random'``, or ``'centre'`` for the one cell nearest to the centre of mass.
            Defaults to 'random'.
        seed (int): Defaults to 0.
    """

    def __init__(
        self, grid: int = 30, repeats: int = 5, how: str = 'random', seed: int = 0
    ) -> None:
        if how not in ('random', 'centre'):
            raise InputError(f"DrawPrompts: how must be 'random' or 'centre', got {how!r}.")
        if grid < 1 or repeats < 1:
            raise InputError(
                f'DrawPrompts: grid and repeats must be at least 1, got {grid} and {repeats}.'
            )
        self.grid, self.repeats, self.how, self.seed = grid, repeats, how, seed

    def transform(self, results: dict) -> dict:
        """Draw points for ``results['targets']``."""
        targets = results['targets']
        height, width = targets.masks.shape[1:]
        frame = ImageFrame(height, width, self.grid)
        coverage = frame.coverage(torch.from_numpy(targets.masks), self.grid, self.grid)
        if self.how == 'centre':
            cells = centre_prompts(coverage)
        else:
            uniforms = np.stack(
                [
                    np.random.default_rng([self.seed, results['image_key'], key]).random(
                        self.repeats
                    )
                    for key in targets.keys
                ]
            )
            cells = draw_prompts(coverage, torch.from_numpy(uniforms))
        results['points'] = cell_centres(cells, self.grid, self.grid, height, width)
        return results


@TRANSFORMS.register_module()
class PackPrompts(Transform):
    """Pack an image with its targets for a network and a metric.

    Required keys: ``img`` (BGR), ``img_path``, ``sample_idx``, ``targets``, and ``points`` if there
    are any.

    Gives ``inputs``, uint8 RGB of shape (3, height, width), and ``data_samples`` with ``masks``
    bool (M, H, W), ``ignore`` bool (H, W), ``labels`` int64 (M, ) and ``points``, and as metainfo
    ``img_path``, ``sample_idx``, ``skipped`` (None) and ``left_out`` (sentences).

    Raises:
        UnreadableImageError: If the masks are for an image of another shape. Another size of the
            same shape is taken: results are measured at the size of the masks.
    """

    def transform(self, results: dict) -> dict:
        """Pack ``results``."""
        targets, image = results['targets'], results['img']
        height, width = targets.masks.shape[1:]
        if abs(image.shape[0] * width - image.shape[1] * height) > max(*image.shape, height, width):
            raise UnreadableImageError(
                results['img_path'],
                f'it has {image.shape[1]}×{image.shape[0]} pixels, its masks '
                f'are for {width}×{height}',
            )
        sample = _sample(results, skipped=None, left_out=targets.left_out)
        sample.masks = torch.from_numpy(targets.masks)
        sample.ignore = torch.from_numpy(targets.ignore)
        sample.labels = torch.tensor(targets.labels)
        if 'points' in results:
            sample.points = results['points']
        pixels = np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1))
        return dict(inputs=torch.from_numpy(pixels), data_samples=sample)


def pack_skipped(results: dict, reason: str) -> dict:
    """A sample that stands for an image that cannot be used: black, without targets.

    Args:
        results (dict): With ``img_path`` and ``sample_idx``.
        reason (str): Why, in words; ``skipped`` of the data sample holds it with the path.
    """
    sample = _sample(results, skipped=(results['img_path'], reason), left_out=[])
    return dict(inputs=torch.zeros(3, 1, 1, dtype=torch.uint8), data_samples=sample)


def _sample(results: dict, **metainfo) -> BaseDataElement:
    return BaseDataElement(
        metainfo=dict(img_path=results['img_path'], sample_idx=results['sample_idx'], **metainfo)
    )
