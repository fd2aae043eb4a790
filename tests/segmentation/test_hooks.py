"""What the hooks refuse, and when they draw; test_runs.py has the rest."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import PixelData

pytest.importorskip('mmseg')

from mmseg.evaluation import IoUMetric
from mmseg.structures import SegDataSample

from mmc_plugin.segmentation import (
    ClassIoUMetric,
    SegmentationPanelHook,
    SegmentationReportHook,
    hooks,
)


def test_the_report_needs_its_metric_before_the_test_begins():
    runner = SimpleNamespace(test_evaluator=SimpleNamespace(metrics=[IoUMetric()]))
    with pytest.raises(ValueError, match='ClassIoUMetric'):
        SegmentationReportHook().before_test(runner)
    runner.test_evaluator.metrics.append(ClassIoUMetric())
    SegmentationReportHook().before_test(runner)


def test_pictures_need_a_folder():
    with pytest.raises(ValueError, match='out_dir'):
        SegmentationPanelHook(enable=True)


@pytest.fixture
def calls(monkeypatch):
    """What the panels of a test were drawn from."""
    found = []

    def panel(image, truth, prediction, *args, title):
        found.append((title, image[0, 0].tolist(), truth.shape, int(prediction[0, 0])))
        return np.zeros((4, 4, 3), np.uint8)

    monkeypatch.setattr(hooks, 'segmentation_panel', panel)
    return found


def show_five(hook, tmp_path):
    """Give the hook five images, the labels of image i being i."""
    dataset = SimpleNamespace(metainfo=dict(classes=['a'], palette=[[0, 0, 0]]))
    runner = SimpleNamespace(test_dataloader=SimpleNamespace(dataset=dataset))
    for i in range(5):
        path = tmp_path / f'{i}.png'
        cv2.imwrite(str(path), np.full((3, 5, 3), (10, 20, 30), np.uint8))  # BGR
        label = torch.full((1, 3, 5), i)
        hook.after_test_iter(
            runner,
            i,
            None,
            [
                SegDataSample(
                    gt_sem_seg=PixelData(data=label),
                    pred_sem_seg=PixelData(data=label),
                    metainfo=dict(img_path=str(path)),
                )
            ],
        )


@pytest.mark.parametrize('interval, drawn', [(1, [0, 1, 2, 3, 4]), (2, [0, 2, 4]), (9, [0])])
def test_one_picture_in_so_many(interval, drawn, calls, tmp_path):
    hook = SegmentationPanelHook(enable=True, out_dir=str(tmp_path / 'out'), interval=interval)
    show_five(hook, tmp_path)
    assert calls == [(str(i), [30, 20, 10], (3, 5), i) for i in drawn]
    assert sorted(p.stem for p in (tmp_path / 'out').iterdir()) == [str(i) for i in drawn]


def test_nothing_is_drawn_unless_asked_for(calls, tmp_path):
    show_five(SegmentationPanelHook(out_dir=str(tmp_path / 'out')), tmp_path)
    assert calls == [] and not (tmp_path / 'out').exists()
