"""What an evaluation leaves behind: a JSON file of its numbers, and pictures."""

from __future__ import annotations

import os

import cv2
import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmpretrain.registry import HOOKS

from ...evaluation.functional.prompt_masks import prompt_similarity
from ...evaluation.metrics.image_results import ImageResults
from ...evaluation.metrics.prompt_iou import PromptIoU
from ...evaluation.metrics.similarity_overlap import SimilarityOverlap
from ...evaluation.report import write_report
from ...structures.image_frame import ImageFrame
from ...visualization.zero_shot import (
    Click,
    case_sheet,
    similarity_histograms,
    threshold_curves,
)
from .model_access import unwrap


@HOOKS.register_module()
class EvaluationReportHook(Hook):
    """Write reports and pictures of a test into the folder of its log.

    - ``prompt_iou.json``, ``prompt_iou.png`` (mIoU over the threshold) and, with ``cases``,
      ``prompt_iou_cases.png``: the best, median and worst cases at the best threshold;
    - ``similarity_overlap.json`` and ``similarity_overlap.png`` (both histograms).

    Args:
        cases (int): How many of the best, of the median and of the worst cases are drawn, each of
            another target. Defaults to 4.
    """

    # After all metrics, and after the log's own line.
    priority = 'VERY_LOW'

    def __init__(self, cases: int = 4) -> None:
        self.cases = cases

    @master_only
    def after_test_epoch(self, runner, metrics: dict | None = None) -> None:
        """Write what the metrics found."""
        for metric in runner.test_loop.evaluator.metrics:
            if not isinstance(metric, ImageResults):
                continue
            path = os.path.join(runner.log_dir, metric.name)
            write_report(
                f'{path}.json',
                metric.protocol(),
                runner.cfg.filename,
                checkpoint_of(runner.cfg),
                metric.numbers | dict(settings=_settings(runner.cfg)),
            )
            pictures = {}
            if isinstance(metric, PromptIoU):
                pictures[''] = threshold_curves({'this model': metric.numbers})
                if self.cases:
                    pictures['_cases'] = self._sheet(runner, metric)
            elif isinstance(metric, SimilarityOverlap):
                pictures[''] = similarity_histograms({'this model': metric.numbers})
            for ending, picture in pictures.items():
                cv2.imwrite(f'{path}{ending}.png', picture[..., ::-1])
            names = ', '.join(f'{metric.name}{ending}.png' for ending in pictures)
            runner.logger.info(f'Wrote {path}.json and {names}.')

    def _sheet(self, runner, metric: PromptIoU) -> np.ndarray:
        """The sheet of cases, whose images pass through the model once more."""
        threshold = metric.numbers['best']['threshold']
        chosen = choose_cases(metric.cases, self.cases)
        drawn = {
            name: [self._case(runner, metric, threshold, case) for case in cases]
            for name, cases in chosen.items()
        }
        return case_sheet(drawn, f'One click, cosine > {threshold:g}')

    @staticmethod
    def _case(
        runner, metric: PromptIoU, threshold: float, case: tuple[float, int, int, int]
    ) -> Click:
        iou, index, target, repeat = case
        data = pseudo_collate([runner.test_loop.dataloader.dataset[index]])
        sample = unwrap(runner.model).test_step(data)[0]
        frame = ImageFrame(*sample.masks.shape[1:], sample.canvas, sample.fit)
        point = sample.points[target, repeat]
        with torch.no_grad():
            cell = frame.cell(point[None], *sample.tokens.shape[:2])
            similarity = frame.upsample(prompt_similarity(sample.tokens, cell))[0].cpu().numpy()
        image = data['inputs'][0].permute(1, 2, 0).numpy()
        if image.shape[:2] != similarity.shape:
            image = cv2.resize(image, similarity.shape[::-1], interpolation=cv2.INTER_AREA)
        name = metric.dataset_meta['categories'][int(sample.labels[target])]
        return Click(
            image,
            point.cpu().numpy()[None],
            similarity,
            similarity > threshold,
            sample.masks[target].cpu().numpy(),
            caption=f'{name}, IoU {100 * iou:.0f} %',
        )


def choose_cases(
    cases: list[tuple[float, int, int, int]], number: int
) -> dict[str, list[tuple[float, int, int, int]]]:
    """The best, median and worst of some cases, each of another target.

    Args:
        cases (list): IoU, image, target and repeat of each, by falling IoU.
        number (int): How many of each kind.

    Returns:
        dict: The chosen ones by kind.
    """
    middle = len(cases) // 2
    nearest = sorted(range(len(cases)), key=lambda place: abs(place - middle))
    orders = dict(best=cases, median=[cases[place] for place in nearest], worst=cases[::-1])
    chosen = {}
    for name, order in orders.items():
        of_target: dict[tuple[int, int], tuple] = {}
        for case in order:
            of_target.setdefault(case[1:3], case)
            if len(of_target) == number:
                break
        chosen[name] = list(of_target.values())
    return chosen


def checkpoint_of(cfg) -> str | None:
    """Where a test's weights come from: ``checkpoint_key`` of its config, or ``load_from``."""
    key = cfg.get('checkpoint_key')
    if key is None:
        return cfg.get('load_from')
    value = cfg
    for part in key.split('.'):
        value = value.get(part)
        if value is None:
            return None
    return value


def _settings(cfg) -> dict:
    """What the numbers depend on besides the weights."""
    loader = cfg.test_dataloader
    return dict(model=cfg.model.to_dict(), dataset=loader.dataset.to_dict())
