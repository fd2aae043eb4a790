"""Looks at a detector before it runs, and keeps what its test finds."""

from __future__ import annotations

import os.path as osp
from pathlib import Path

from mmdet.registry import HOOKS
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..engine.hooks.model_access import unwrap
from ..evaluation.report import write_report
from .checks import check_classes, check_optimizer, check_strides


@HOOKS.register_module()
class DetectorCheckHook(Hook):
    """Looks at strides, classes and optimiser of a detector before it is trained or tested."""

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """See :func:`check_strides`, :func:`check_classes` and :func:`check_optimizer`."""
        model = unwrap(runner.model)
        check_classes(model, runner.train_dataloader.dataset)
        check_optimizer(model, runner.optim_wrapper.param_groups)
        check_strides(model)

    def before_test(self, runner: Runner) -> None:
        """See :func:`check_strides` and :func:`check_classes`."""
        model = unwrap(runner.model)
        check_classes(model, runner.test_dataloader.dataset)
        check_strides(model)


@HOOKS.register_module()
class DetectionReportHook(Hook):
    """Writes ``test_<checkpoint's name>.json`` into the work dir after a test."""

    @master_only
    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Write the file."""
        checkpoint, dataset = runner._load_from, runner.test_dataloader.dataset
        name = Path(checkpoint).stem if checkpoint else 'untrained'
        path = osp.join(runner.work_dir, f'test_{name}.json')
        write_report(
            path,
            protocol=f'detection, {type(dataset).__name__}, {len(dataset)} images; '
            + ', '.join(type(each).__name__ for each in runner.test_evaluator.metrics),
            config=runner.cfg.filename,
            checkpoint=checkpoint,
            numbers=dict(metrics or {}),
        )
        runner.logger.info(f'The figures are in {path}')
