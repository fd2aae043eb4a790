import json
import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from PIL import Image

import mmc_plugin  # noqa: F401  registers the parts
from mmc_plugin.engine.hooks.skipped_images import SkippedImagesHook


def batch(*skipped):
    return dict(data_samples=[DataSample(metainfo=dict(skipped=list(pairs))) for pairs in skipped])


@pytest.fixture
def runner(tmp_path):
    dataset = SimpleNamespace(
        scan_report=dict(images=9, other_files=2, left_out={'z/zero.png': 'empty'})
    )
    logger = logging.getLogger('test_skipped_images')
    logger.setLevel(logging.INFO)
    return SimpleNamespace(
        iter=0,
        work_dir=str(tmp_path),
        train_dataloader=SimpleNamespace(dataset=dataset),
        logger=logger,
    )


def written(tmp_path):
    return json.loads((tmp_path / 'skipped_images.json').read_text(encoding='utf-8'))


def test_report_over_epochs(runner, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    hook = SkippedImagesHook()
    hook.before_train(runner)
    assert 'Folder scan: 9 images, 2 other files, 1 left out' in caplog.text
    assert written(tmp_path) == {'z/zero.png': 'empty'}

    caplog.clear()
    bad = [(f'{name}.jpg', 'cut') for name in 'abcde']
    hook.after_train_iter(runner, 0, batch([], bad[:2]))
    hook.after_train_iter(runner, 1, batch(bad[1:], []))
    hook.after_train_epoch(runner)
    assert written(tmp_path) == {'z/zero.png': 'empty', **dict(bad)}
    assert len(caplog.records) == 1
    assert '5 unreadable images' in caplog.text and "'a.jpg' (cut)" in caplog.text
    assert 'and 2 more' in caplog.text and "'d.jpg'" not in caplog.text
    assert 'all so far (6) are in' in caplog.text

    caplog.clear()
    hook.after_train_iter(runner, 2, batch(bad))
    hook.after_train_epoch(runner)
    assert not caplog.records  # nothing new
    hook.after_train(runner)
    assert '6 files could not be used' in caplog.text and 'skipped_images.json' in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ['skipped_images.json']


def test_resume_adds_and_a_new_run_begins_anew(runner, tmp_path, caplog):
    file = tmp_path / 'skipped_images.json'
    file.write_text('{"old.jpg": "cut"}')
    runner.iter = 5
    SkippedImagesHook().before_train(runner)
    assert written(tmp_path) == {'old.jpg': 'cut', 'z/zero.png': 'empty'}
    runner.iter = 0
    SkippedImagesHook().before_train(runner)
    assert written(tmp_path) == {'z/zero.png': 'empty'}
    runner.iter = 5
    file.write_text('{"half')
    SkippedImagesHook().before_train(runner)
    assert 'begun anew' in caplog.text
    assert written(tmp_path) == {'z/zero.png': 'empty'}


def test_file_that_cannot_be_written_is_said(runner, tmp_path, caplog):
    runner.work_dir = str(tmp_path / 'gone')
    hook = SkippedImagesHook()
    hook.before_train(runner)
    assert 'could not be written (No such file or directory)' in caplog.text


def test_odd_names_and_other_datasets(runner, tmp_path):
    runner.train_dataloader.dataset = object()
    hook = SkippedImagesHook()
    hook.before_train(runner)
    hook.after_train_iter(runner, 0, batch([('ü/\udcff.jpg', 'cut')]))
    hook.after_train_iter(runner, 1, dict(inputs=torch.zeros(1)))
    hook.after_train_epoch(runner)
    assert written(tmp_path) == {'ü/\udcff.jpg': 'cut'}


def test_processes_are_merged(runner, tmp_path, monkeypatch):
    monkeypatch.setattr(
        'mmc_plugin.engine.hooks.skipped_images.all_gather_object',
        lambda mine: [mine, {'other.jpg': 'cut'}],
    )
    hook = SkippedImagesHook()
    hook.before_train(runner)
    hook.after_train_epoch(runner)
    assert 'other.jpg' in written(tmp_path)


class Mean(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, inputs, data_samples=None, mode='loss'):
        return dict(loss=self.weight * inputs['views'][0].float().mean())


def test_in_a_run_with_workers_and_accumulation(tmp_path):
    root = tmp_path / 'photos'
    root.mkdir()
    for index in range(6):
        Image.new('RGB', (9, 9), (index, 0, 0)).save(root / f'{index}.png')
    (root / 'text.png').write_text('no image')
    (root / 'zero.png').touch()
    work_dir = tmp_path / 'work'
    pipeline = [
        dict(type='LoadImage'),
        dict(type='MultiView', num_views=[2], transforms=[[dict(type='Resize', scale=8)]]),
        dict(type='PackViews'),
    ]
    runner = Runner(
        model=Mean(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=2,
            num_workers=2,
            sampler=dict(type='SeededSampler'),
            collate_fn=dict(type='default_collate'),
            dataset=dict(type='ImageTree', data_root=str(root), pipeline=pipeline),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1), accumulative_counts=3),
        custom_hooks=[dict(type='SkippedImagesHook')],
        default_scope='mmpretrain',
        experiment_name=f'skipped_{tmp_path.name}',
        randomness=dict(seed=0),
    )
    runner.train()
    report = json.loads((work_dir / 'skipped_images.json').read_text())
    assert set(report) == {str(root / 'text.png'), str(root / 'zero.png')}
    assert 'not an image' in report[str(root / 'text.png')]
