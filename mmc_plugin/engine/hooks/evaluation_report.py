"""What an evaluation leaves behind: a JSON file of its numbers, and pictures."""

from __future__ import annotations

import os

import cv2
import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from mmpretrain.registry import HOOKS

from ...evaluation.metrics import ReportedMetric
from ...evaluation.report import write_report
from .model_access import unwrap


@HOOKS.register_module()
class EvaluationReportHook(Hook):
    """Write ``<name>.json`` and pictures of each :class:`ReportedMetric` beside a test's log."""

    # After all metrics, and after the log's own line.
    priority = 'VERY_LOW'

    @master_only
    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Write what the metrics found."""

        def predict(index: int) -> tuple[np.ndarray, BaseDataElement]:
            data = pseudo_collate([runner.test_loop.dataloader.dataset[index]])
            with torch.no_grad():
                sample = unwrap(runner.model).test_step(data)[0]
            return data['inputs'][0].permute(1, 2, 0).numpy(), sample

        cfg = runner.cfg
        settings = dict(model=cfg.model.to_dict(), dataset=cfg.test_dataloader.dataset.to_dict())
        for metric in runner.test_loop.evaluator.metrics:
            if not isinstance(metric, ReportedMetric):
                continue
            path = os.path.join(runner.log_dir, metric.name)
            write_report(
                f'{path}.json',
                metric.protocol(),
                cfg.filename,
                checkpoint_of(cfg),
                metric.numbers | dict(settings=settings),
            )
            pictures = metric.pictures(predict)
            for ending, picture in pictures.items():
                cv2.imwrite(f'{path}{ending}.png', picture[..., ::-1])
            names = [f'{metric.name}{ending}.png' for ending in pictures]
            runner.logger.info(f'Wrote {" and ".join([f"{path}.json", *names])}.')


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
