import json
import logging
import random

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from PIL import Image
from torch import nn

from mmc_plugin.engine.hooks import feature_monitor
from mmc_plugin.engine.hooks.feature_monitor import FeatureMonitorHook
from mmc_plugin.evaluation.feature_bank import FeatureBank
from mmc_plugin.evaluation.functional.knn import knn_accuracy
from mmc_plugin.evaluation.functional.spread import effective_rank, feature_spread
from mmc_plugin.models.utils.view_preprocessor import ViewDataPreprocessor


class ToyModel(BaseModel):
    """Two networks with batch norm and dropout whose loss uses up random numbers."""

    def __init__(self):
        super().__init__(
            ViewDataPreprocessor(mean=[110.0, 120, 130], std=[50.0, 60, 70], to_rgb=True)
        )
        self.student = nn.Sequential(
            nn.Conv2d(3, 6, 8, stride=8), nn.BatchNorm2d(6), nn.Dropout(0.5)
        )
        self.teacher = nn.Sequential(nn.Conv2d(3, 6, 8, stride=8), nn.BatchNorm2d(6))
        self.teacher[1].eval()
        self.calls, self.codes = [], []  # prototypes in use, a number for each step

    def forward(self, inputs, data_samples=None, mode='tensor'):
        views = inputs['views'][0]
        views = views + 0.1 * torch.randn_like(views) * random.random() * np.random.rand()
        used = dict(codes=torch.tensor(self.codes.pop(0))) if self.codes else {}
        return dict(loss=self.student(views).square().mean(), **used)

    def extract_feat(self, images, network='teacher'):
        self.calls.append(network)
        assert not self.training and not torch.is_grad_enabled()
        random.random(), np.random.rand(), torch.rand(1)
        patches = getattr(self, network)(images).flatten(2).transpose(1, 2)
        return patches.amax(1), patches


class Files(torch.utils.data.Dataset):
    def __init__(self, root):
        self.paths = sorted(str(path) for path in root.rglob('*.png'))

    def __len__(self):
        return len(self.paths)

    def get_data_info(self, index):
        return dict(img_path=self.paths[index])

    def __getitem__(self, index):
        view = torch.from_numpy(np.array(Image.open(self.paths[index]))).permute(2, 0, 1)
        mask = torch.zeros(1, *view.shape[1:], dtype=torch.bool)
        return dict(inputs=dict(views=[view], mask=mask, alien=mask[:, 0, 0]))


def make_folder(root, classes, each, seed):
    rng = np.random.default_rng(seed)
    for number, name in enumerate(classes):
        (root / name / 'deep').mkdir(parents=True)
        for i in range(each):
            image = rng.integers(0, 100, (16, 16, 3)) + 40 * np.eye(3)[number % 3]
            Image.fromarray(image.astype(np.uint8)).save(root / name / 'deep' / f'{i}.png')
    return root


@pytest.fixture(autouse=True)
def few_images(monkeypatch):
    monkeypatch.setattr(feature_monitor, 'NEIGHBOURS', (1, 3, 99))  # of 15 images
    monkeypatch.setattr(feature_monitor, 'BATCH_SIZE', 4)


@pytest.fixture
def folders(tmp_path):
    names = ['a', 'b', 'c']
    return (
        make_folder(tmp_path / 'train', names, 5, 0),
        make_folder(tmp_path / 'val', names, 3, 1),
    )


def run(folders, work_dir, hooks, epochs=3, workers=0, codes=(), **keys):
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    losses = []
    runner = Runner(
        ToyModel(),
        str(work_dir),
        train_dataloader=dict(
            batch_size=5,
            num_workers=workers,
            dataset=Files(folders[0]),
            sampler=dict(type='DefaultSampler', shuffle=True),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        randomness=dict(seed=3),
        custom_hooks=list(hooks),
        log_level='WARNING',
        visualizer=dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]),
        default_scope='mmpretrain',
        experiment_name=str(work_dir).replace('/', '_'),
        **keys,
    )
    runner.model.codes = list(codes)
    original = runner.model.train_step

    def train_step(*args, **kwargs):
        outputs = original(*args, **kwargs)
        losses.append(outputs['loss'].item())
        return outputs

    runner.model.train_step = train_step
    runner.train()
    return runner, losses


def entries(work_dir):
    lines = (work_dir / 'feature_monitor.jsonl').read_text().splitlines()
    return [json.loads(line) for line in lines]


def hook(folders, **keys):
    return FeatureMonitorHook(
        **dict(
            dict(
                interval=2,
                train_dir=str(folders[0]),
                val_dir=str(folders[1]),
                resize=16,
                crop=16,
            ),
            **keys,
        )
    )


def test_does_not_touch_the_training(folders, tmp_path):
    plain, plain_losses = run(folders, tmp_path / 'plain', [])
    for name, keys in [('watched', {}), ('workers', dict(workers=1))]:
        watched, losses = run(folders, tmp_path / name, [hook(folders, interval=1)], **keys)
        assert losses == plain_losses and len(losses) == 9
        for key, value in plain.model.state_dict().items():
            assert torch.equal(value, watched.model.state_dict()[key]), key
        assert {n: m.training for n, m in watched.model.named_modules()} == {
            n: m.training for n, m in plain.model.named_modules()
        }
        assert len(entries(tmp_path / name)) == 4


def test_reports_the_numbers_of_the_pure_functions(folders, tmp_path):
    runner, _ = run(folders, tmp_path / 'run', [hook(folders)])
    found = entries(tmp_path / 'run')
    assert [each['epoch'] for each in found] == [0, 2, 3]
    assert [each['iter'] for each in found] == [0, 6, 9]

    model = runner.model.eval()
    feats, labels = {}, {}
    for part, root in zip(('train', 'val'), folders, strict=True):
        paths = sorted(root.rglob('*.png'))
        images = torch.stack([torch.from_numpy(np.array(Image.open(p))) for p in paths])
        images = (images.float() - torch.tensor([110.0, 120, 130])) / torch.tensor([50.0, 60, 70])
        with torch.no_grad():
            cls, patches = model.extract_feat(images.permute(0, 3, 1, 2), 'student')
        feats[part] = dict(cls=cls, pat=patches.mean(1))
        labels[part] = torch.tensor(['abc'.index(p.parts[-3]) for p in paths])
    for kind in ('cls', 'pat'):
        expected = knn_accuracy(
            feats['train'][kind], labels['train'], feats['val'][kind], labels['val'], (1, 3)
        )
        for k in (1, 3):
            assert found[-1][f'knn/student_{kind}_k{k}'] == pytest.approx(expected[k])
        assert found[-1][f'spread/student_{kind}'] == pytest.approx(
            feature_spread(feats['val'][kind]), rel=1e-4
        )
        assert found[-1][f'effective_rank/student_{kind}'] == pytest.approx(
            effective_rank(feats['val'][kind]), rel=1e-4
        )
        assert f'knn/teacher_{kind}_k1' in found[-1]

    scalars = [
        json.loads(line)
        for line in next((tmp_path / 'run').rglob('scalars.json')).read_text().splitlines()
    ]
    scalars = [each for each in scalars if 'knn/teacher_cls_k3' in each]
    assert [(each['epoch'], each['step']) for each in scalars] == [(0, 0), (2, 6), (3, 9)]
    assert scalars[-1]['knn/teacher_cls_k3'] == found[-1]['knn/teacher_cls_k3']
    assert (
        runner.message_hub.get_scalar('spread/teacher_cls').current()
        == found[-1]['spread/teacher_cls']
    )


def test_without_labels_only_spread_and_rank_of_training_images(folders, tmp_path):
    run(
        folders,
        tmp_path / 'run',
        [
            hook(
                folders,
                train_dir=None,
                val_dir=None,
                networks=['teacher'],
                unlabelled_images=7,
            )
        ],
    )
    found = entries(tmp_path / 'run')
    assert [each['epoch'] for each in found] == [0, 2, 3]
    assert set(found[0]) == {'epoch', 'iter', 'time', 'seconds'} | {
        f'{what}/teacher_{kind}' for what in ('spread', 'effective_rank') for kind in ('cls', 'pat')
    }


def test_warns_once_an_evaluation_of_a_collapse(folders, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(feature_monitor, 'COLLAPSED_RANK', 0.25)

    class Collapse(FeatureMonitorHook):
        def before_train(self, runner):
            with torch.no_grad():
                runner.model.teacher[0].weight.zero_()
                runner.model.student[0].weight.mul_(50)
            runner.logger.addHandler(caplog.handler)
            super().before_train(runner)

    run(
        folders,
        tmp_path / 'run',
        [
            Collapse(
                interval=1,
                train_dir=str(folders[0]),
                val_dir=str(folders[1]),
                resize=16,
                crop=16,
            )
        ],
        epochs=2,
    )
    words = [
        record.getMessage()
        for record in caplog.records
        if record.levelno == logging.WARNING and 'collapsed' in record.getMessage()
    ]
    assert len(words) == 2  # after epochs 1 and 2, not before the first
    assert 'teacher_cls has spread 0.000' in words[0]
    assert 'teacher_pat has effective rank 1.0 of 6' in words[0]
    assert 'student' not in words[0]


@pytest.mark.parametrize(
    'codes, epochs',
    [([1.0] * 15, [4, 5]), ([3.0] * 5 + [1.0] * 10, [5]), ([1.0] * 14 + [2.0], [4]), ([], [])],
)
def test_warns_where_all_images_have_one_prototype(folders, tmp_path, caplog, codes, epochs):
    """Of an epoch's three steps, and of ten at least."""
    watched = hook(folders, interval=1)
    inner = watched.before_train
    watched.before_train = lambda runner: (runner.logger.addHandler(caplog.handler), inner(runner))
    run(folders, tmp_path / 'run', [watched], epochs=5, codes=codes)
    said = [each.getMessage() for each in caplog.records if 'one prototype' in each.getMessage()]
    assert [int(each.split('after epoch ')[1].split(':')[0]) for each in said] == epochs
    assert all(
        'the targets of each of the last 10 steps name one prototype' in each for each in said
    )


def test_values_that_are_not_finite_are_said_and_left_out():
    feats, index = torch.eye(2)[None], torch.arange(2)
    bank = FeatureBank(feats.masked_fill(feats == 1, float('nan')), feats, index, index)
    scalars, weak = FeatureMonitorHook(networks=['teacher'])._measure(dict(val=dict(teacher=bank)))
    assert weak == ['teacher_cls has values that are not finite']
    assert set(scalars) == {'spread/teacher_pat', 'effective_rank/teacher_pat'}


def test_broken_image_is_left_out_and_said(folders, tmp_path, caplog):
    run(folders, tmp_path / 'clean', [hook(folders)], epochs=1)
    broken = folders[1] / 'b' / 'deep' / 'broken.jpg'
    broken.write_bytes(b'\xff\xd8 no image')
    watched = hook(folders)
    inner = watched.before_train
    watched.before_train = lambda runner: (runner.logger.addHandler(caplog.handler), inner(runner))
    run(folders, tmp_path / 'run', [watched], epochs=1)
    words = [r.getMessage() for r in caplog.records if 'could not be read' in r.getMessage()]
    assert words and '1 of 10 images' in words[0] and str(broken) in words[0]
    for clean, found in zip(entries(tmp_path / 'clean'), entries(tmp_path / 'run'), strict=True):
        for key in set(clean) - {'time', 'seconds'}:
            assert found[key] == clean[key]


def test_evaluates_a_run_that_was_stopped_early(folders, tmp_path):
    class Stop(FeatureMonitorHook):
        def after_train_epoch(self, runner):
            super().after_train_epoch(runner)
            runner.train_loop.stop_training = True

    stop = Stop(5, str(folders[0]), str(folders[1]), resize=16, crop=16)
    run(folders, tmp_path / 'run', [stop])
    assert [each['epoch'] for each in entries(tmp_path / 'run')] == [0, 1]


def test_refuses_in_a_sentence(folders, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match='both train_dir and val_dir'):
        FeatureMonitorHook(train_dir='somewhere')
    with pytest.raises(ValueError, match='networks'):
        FeatureMonitorHook(networks=['pupil'])
    with pytest.raises(FileNotFoundError, match='There is no folder'):
        run(folders, tmp_path / 'run', [hook(folders, train_dir=str(tmp_path / 'none'))])
    monkeypatch.setattr(feature_monitor, 'NEIGHBOURS', (98, 99))
    with pytest.raises(ValueError, match='the nearest 98 images, but .*train. has only 15: give a'):
        run(folders, tmp_path / 'run', [hook(folders)])
