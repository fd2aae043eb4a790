"""Zero-shot segmentation by one click (arXiv 2308.11448, table 1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from mmpretrain.registry import METRICS
from torch import Tensor

from ...errors import InputError
from ...structures.image_frame import ImageFrame
from ...visualization.zero_shot import Click, case_sheet, threshold_curves
from ..functional.cases import choose_cases
from ..functional.prompt_masks import (
    iou_from_counts,
    pixel_codes,
    prompt_similarity,
    threshold_counts,
)
from ..functional.refinement import check_refine, refine_maps
from .image_results import ImageResults
from .reported import Predict

DRAWN = 4  # of the best, of the median and of the worst cases
# Pixels of a mask up to which COCO calls an object small, and medium.
COCO_AREAS = dict(small=32**2, medium=96**2, large=float('inf'))


# -0.2 … 0.9, without the noise of adding up steps.
THRESHOLDS = [round(-0.2 + 0.05 * i, 6) for i in range(23)]


@METRICS.register_module()
class PromptIoU(ImageResults):
    """IoU of what is more similar to a clicked patch than a threshold, for all :data:`THRESHOLDS`.

    All prompts of all targets count the same in mIoU. IoU is measured at the size of the masks,
    after bilinear upsampling of the similarities; ignored pixels count for nothing.

    Args:
        refine (str, optional): ``'guided'`` or ``'bilateral'``, done to the upsampled maps, see
            :func:`refine_maps`. Defaults to None: table 1 of the paper.
        report (Sequence[float]): Those of the thresholds that are printed, and reported for each
            category and size. Defaults to (0.1, 0.2, 0.3, 0.4).
        collect_device (str): Of mmengine. Defaults to 'cpu'.

    Raises:
        ValueError: If a reported threshold is not among them.
    """

    name = 'prompt_iou'
    default_prefix = 'one_click'

    def __init__(
        self,
        refine: str | None = None,
        report: Sequence[float] = (0.1, 0.2, 0.3, 0.4),
        collect_device: str = 'cpu',
    ) -> None:
        super().__init__(collect_device=collect_device)
        self.refine = check_refine(refine)
        missing = [each for each in report if not np.isclose(THRESHOLDS, each).any()]
        if missing:
            raise InputError(
                f'PromptIoU: the reported thresholds {missing} are not among {THRESHOLDS}.'
            )
        self.reported = [int(np.abs(np.array(THRESHOLDS) - each).argmin()) for each in report]

    def measure(self, sample: dict, frame: ImageFrame) -> dict[str, Any]:
        """IoU (M, R, T) of all prompts, and what predicting everything gives (M, )."""
        tokens, points = sample['tokens'], sample['points']
        number, repeats, _ = points.shape
        cells = frame.cell(points.flatten(0, 1), *tokens.shape[:2])
        maps = prompt_similarity(tokens, cells)
        codes = pixel_codes(sample['masks'], sample['ignore'])
        owner = torch.arange(number, device=codes.device).repeat_interleave(repeats)
        size = (codes == 1).sum((1, 2))
        inside, outside = threshold_counts(
            maps, codes, owner, torch.tensor(THRESHOLDS, device=maps.device), frame,
            self._refinement(sample['pixels'], frame, tokens),
        )  # fmt: skip
        iou = iou_from_counts(inside, outside, size[owner])
        counted = (codes[0] != 2).sum()
        return dict(
            iou=iou.view(number, repeats, -1).float().cpu().numpy(),
            everything=(size.double() / counted).float().cpu().numpy(),
            size=size.cpu().numpy(),
            label=sample['labels'].cpu().numpy(),
        )

    def _refinement(self, pixels: Tensor, frame: ImageFrame, tokens: Tensor) -> Callable | None:
        """What is done to upsampled maps of an image."""
        if self.refine is None:
            return None
        cells = frame.content_cells(*tokens.shape[:2])
        return partial(refine_maps, image=pixels, how=self.refine, cells=cells)

    def summarise(self, results: Sequence[dict]) -> dict[str, Any]:
        """Curves, and tables by category and size."""
        iou = np.concatenate([each['iou'] for each in results]).astype(np.float64)  # (M, R, T)
        everything = np.concatenate([each['everything'] for each in results]).astype(np.float64)
        size = np.concatenate([each['size'] for each in results])
        label = np.concatenate([each['label'] for each in results])
        by_repeat = iou.mean(0)  # (R, T)
        curve = by_repeat.mean(0)
        best = int(curve.argmax())
        deviation = by_repeat.std(0, ddof=1) if len(by_repeat) > 1 else np.zeros_like(curve)

        def part(chosen: np.ndarray) -> dict[str, Any]:
            if not chosen.any():
                return dict(targets=0)
            return dict(
                targets=int(chosen.sum()),
                everything=everything[chosen].mean(),
                miou=self._reported(iou[chosen].mean((0, 1))),
                best=iou[chosen, :, best].mean(),
            )

        bounds = [0, *COCO_AREAS.values()]
        names = (self.dataset_meta or {}).get('categories')
        if names is None:
            names = [str(number) for number in range(label.max() + 1)]
        self.cases = self._cases(results, best)
        return dict(
            targets=len(iou),
            repeats=iou.shape[1],
            prompts=iou.shape[0] * iou.shape[1],
            thresholds=THRESHOLDS,
            curve=curve,
            deviation=deviation,
            miou=self._reported(curve),
            miou_deviation=self._reported(deviation),
            best=dict(threshold=THRESHOLDS[best], miou=curve[best], deviation=deviation[best]),
            everything=everything.mean(),
            sizes={
                name: part((size > low) & (size <= high))
                for name, low, high in zip(COCO_AREAS, bounds, bounds[1:], strict=False)
            },
            categories={
                name: part(label == number)
                for number, name in enumerate(names)
                if (label == number).any()
            },
            absent_categories=[
                name for number, name in enumerate(names) if not (label == number).any()
            ],
        )

    def _reported(self, values: np.ndarray) -> dict[str, float]:
        return {f'{THRESHOLDS[i]:g}': float(values[i]) for i in self.reported}

    @staticmethod
    def _cases(results: Sequence[dict], threshold: int) -> list[tuple[float, int, int, int]]:
        """All prompts by falling IoU at a threshold: IoU, image, target, repeat."""
        found = [
            (float(value), each['sample_idx'], target, repeat)
            for each in results
            for (target, repeat), value in np.ndenumerate(each['iou'][..., threshold])
        ]
        return sorted(found, key=lambda case: (-case[0], *case[1:]))

    def scalars(self) -> dict[str, float]:
        """mIoU in percent at the reported thresholds, the best, and of predicting everything."""
        numbers = self.numbers
        out = {f'mIoU@{key}': 100 * value for key, value in numbers['miou'].items()}
        out['mIoU_best'] = 100 * numbers['best']['miou']
        out['best_threshold'] = numbers['best']['threshold']
        out['mIoU_everything'] = 100 * numbers['everything']
        out['skipped_images'] = float(len(numbers['skipped_images']))
        return out

    def protocol(self) -> str:
        """What is measured, in words."""
        ways = dict(guided='a guided filter', bilateral='the bilateral solver')
        refined = f' and refined by {ways[self.refine]}' if self.refine else ''
        return (
            'Zero-shot segmentation by one click (arXiv 2308.11448, table 1): a pixel is '
            'predicted where the cosine of its token to the clicked one, upsampled bilinearly '
            f'to the size of the masks{refined}, is larger than the threshold; mIoU is the mean '
            'over all prompts of all targets; ignored pixels do not count. Numbers are fractions.'
        )

    def pictures(self, predict: Predict) -> dict[str, np.ndarray]:
        """The curve, and the best, median and worst cases at the best threshold."""
        threshold = self.numbers['best']['threshold']
        drawn = {
            name: [self._click(predict, threshold, *case) for case in cases]
            for name, cases in choose_cases(self.cases, DRAWN).items()
        }
        return {
            '': threshold_curves({'this model': self.numbers}),
            '_cases': case_sheet(drawn, f'One click, cosine > {threshold:g}'),
        }

    def _click(
        self, predict: Predict, threshold: float, iou: float, index: int, target: int, repeat: int
    ) -> Click:
        image, sample = predict(index)
        frame = ImageFrame(*sample.masks.shape[1:], sample.canvas, sample.fit)
        point = sample.points[target, repeat]
        cell = frame.cell(point[None], *sample.tokens.shape[:2])
        maps = frame.upsample(prompt_similarity(sample.tokens, cell))
        pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
        refine = self._refinement(pixels, frame, sample.tokens)
        similarity = (maps if refine is None else refine(maps))[0].cpu().numpy()
        if image.shape[:2] != similarity.shape:
            image = cv2.resize(image, similarity.shape[::-1], interpolation=cv2.INTER_AREA)
        name = self.dataset_meta['categories'][int(sample.labels[target])]
        return Click(
            image,
            point.cpu().numpy()[None],
            similarity,
            similarity > threshold,
            sample.masks[target].cpu().numpy(),
            caption=f'{name}, IoU {100 * iou:.0f} %',
        )
