"""What a test leaves: a JSON file, and pictures where they are asked for."""

from __future__ import annotations

import os.path as osp
from collections.abc import Sequence
from pathlib import Path

import mmcv
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from mmseg.structures import SegDataSample

from ..engine.hooks.evaluation_report import checkpoint_of
from ..errors import InputError
from ..evaluation.report import write_report
from ..wording import counted
from .metric import ClassIoUMetric
from .panel import segmentation_panel


@HOOKS.register_module()
class SegmentationReportHook(Hook):
    """Writes ``test_<checkpoint's name>.json`` into the work dir after a test.

    The test's evaluator must have a :class:`ClassIoUMetric`.
    """

    def before_test(self, runner: Runner) -> None:
        """Look for the metric before the test takes its time.

        Raises:
            ValueError: If it is not there.
        """
        self._metric(runner)

    @staticmethod
    def _metric(runner: Runner) -> ClassIoUMetric:
        for metric in runner.test_evaluator.metrics:
            if isinstance(metric, ClassIoUMetric):
                return metric
        raise InputError("SegmentationReportHook needs test_evaluator=dict(type='ClassIoUMetric')")

    @master_only
    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Write the file."""
        model, dataset = runner.cfg.model, runner.test_dataloader.dataset
        test_cfg = model.get('test_cfg') or {}
        window = (
            f', window {tuple(test_cfg.crop_size)} at stride {tuple(test_cfg.stride)}'
            if test_cfg.get('mode') == 'slide'
            else ''
        )
        checkpoint = (
            checkpoint_of(runner.cfg) if 'checkpoint_key' in runner.cfg else runner._load_from
        )
        network = runner.model.module if is_model_wrapper(runner.model) else runner.model
        how = f' {network.protocol}' if hasattr(network, 'protocol') else ''
        path = osp.join(
            runner.work_dir, f'test_{Path(checkpoint).stem if checkpoint else "untrained"}.json'
        )
        left_out = getattr(dataset, 'left_out', 0)
        broken = f' ({left_out} with broken files left out)' if left_out else ''
        write_report(
            path,
            protocol=f'semantic segmentation{how}, {type(dataset).__name__}, '
            f'{counted(len(dataset), "image")}{broken}, '
            f'test of the {test_cfg.get("mode", "whole")} image{window}; IoU and Acc in per cent '
            'from the pixels of all images together, labels of 255 left out',
            config=runner.cfg.filename,
            checkpoint=checkpoint,
            numbers=self._metric(runner).numbers,
        )
        runner.logger.info(f'The figures are in {path}')


@HOOKS.register_module()
class SegmentationPanelHook(Hook):
    """Draws image, truth, prediction and legend for each test image: ``--show-dir`` of test.py.

    Args:
        enable (bool): Defaults to False.
        out_dir (str, optional): Folder; a picture has the image's name, as PNG. Needed if enabled.
        interval (int): One picture per this many images of a process. Defaults to 1.
    """

    def __init__(self, enable: bool = False, out_dir: str | None = None, interval: int = 1) -> None:
        if enable and out_dir is None:
            raise InputError('SegmentationPanelHook needs out_dir, a folder for its pictures')
        self.enable = enable
        self.out_dir = out_dir
        self.interval = interval
        self._seen = 0

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[SegDataSample] | None = None,
    ) -> None:
        """Draw the images of a batch."""
        if not self.enable:
            return
        meta = runner.test_dataloader.dataset.metainfo
        for sample in outputs:
            self._seen += 1
            if (self._seen - 1) % self.interval:
                continue
            name = Path(sample.img_path).stem
            picture = segmentation_panel(
                mmcv.imread(sample.img_path, channel_order='rgb'),
                sample.gt_sem_seg.data.squeeze(0).cpu().numpy(),
                sample.pred_sem_seg.data.squeeze(0).cpu().numpy(),
                meta['classes'],
                meta['palette'],
                title=name,
            )
            mmcv.imwrite(picture[..., ::-1], osp.join(self.out_dir, f'{name}.png'))
