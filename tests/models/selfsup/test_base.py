"""What a method inherits, with a method of ten lines."""

import json
import math
import runpy
import sys
from pathlib import Path

import pytest
import torch
from mmpretrain.models.selfsup.base import BaseSelfSupervisor
from mmpretrain.registry import MODELS

from mmc_plugin.apis import extract_features, load_backbone
from mmc_plugin.engine.hooks import feature_monitor
from mmc_plugin.errors import InputError
from mmc_plugin.models.selfsup import MMC, Seen, StudentTeacher, lacking

ROOT = Path(__file__).resolve().parents[3]
SIZE, PATCH, WIDTH, DEPTH = 32, 8, 48, 3
ARCH = dict(embed_dims=WIDTH, num_layers=DEPTH, num_heads=3, feedforward_channels=96)
VIT = dict(type='VisionTransformer', arch=ARCH, img_size=SIZE, patch_size=PATCH, out_type='raw')
REC_HEAD = dict(type='PixelReconstructionHead', in_channels=WIDTH, patch_size=PATCH,
                hidden_channels=16)  # fmt: skip


@MODELS.register_module()
class PullTogether(StudentTeacher):
    """The student's class token of each view approaches the teacher's of the other."""

    def __init__(self, backbone, **kwargs):
        super().__init__(backbone, heads={}, **kwargs)

    def loss(self, inputs, data_samples=None):
        student, _ = self.encode(self.backbone, inputs['views'])
        with torch.no_grad():
            teacher, _ = self.encode(self.teacher.backbone, inputs['views'].flip(0))
        return dict(loss_pull=(student - teacher).square().mean())


def method(**kwargs):
    torch.manual_seed(0)
    model = PullTogether(VIT, **kwargs)
    model.init_weights()
    return model


class Paint(StudentTeacher):
    def __init__(self):
        super().__init__(VIT, heads=dict(rec_head=REC_HEAD))

    def loss(self, inputs, data_samples=None):
        painted = self.reconstruct_layers(inputs['views'][0], [-1])[0]
        return dict(loss_rec=(painted - inputs['views'][0]).mean())


def with_head():
    torch.manual_seed(0)
    model = Paint()
    model.init_weights()
    return model.eval()


def tool(path, *arguments):
    """Run a command-line tool in this process."""
    before = sys.argv
    sys.argv = [path, *map(str, arguments)]
    try:
        runpy.run_path(str(ROOT / 'tools' / path), run_name='__main__')
    finally:
        sys.argv = before


def test_a_method_of_ten_lines_trains_resumes_is_watched_exported_and_evaluated(
    photo_folder, tmp_path, monkeypatch
):
    for name in ('train', 'val'):  # labels for the monitor
        for i, photo in enumerate(sorted(photo_folder.glob('*.jpg'))):
            link = tmp_path / name / 'ab'[i % 2] / photo.name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(photo)
    monkeypatch.setattr(feature_monitor, 'NEIGHBOURS', (1,))
    config = tmp_path / 'config.py'
    config.write_text(
        f'_base_ = [{str(ROOT / "tests" / "configs" / "tiny_mmc.py")!r}]\n'
        f"model = dict(_delete_=True, type='PullTogether', backbone={VIT!r})\n"
        f'train_dataloader = dict(num_workers=0, dataset=dict(data_root={str(photo_folder)!r}))\n'
        "optim_wrapper = dict(type='OptimWrapper')\n"
        'default_hooks = dict(reconstruction=dict(interval=1), features=dict(\n'
        f"    type='FeatureMonitorHook', interval=1, train_dir={str(tmp_path / 'train')!r},\n"
        f'    val_dir={str(tmp_path / "val")!r}, resize=32, crop=32))\n'
    )
    states = {}
    for name, parts in dict(whole=[2], parts=[1, 2]).items():
        for epochs in parts:
            tool('train.py', config, '--work-dir', tmp_path / name, '--resume', '--cfg-options',
                 f'train_cfg.max_epochs={epochs}', 'param_scheduler=[]')  # fmt: skip
        checkpoint = tmp_path / name / 'epoch_2.pth'
        states[name] = torch.load(checkpoint, weights_only=False)['state_dict']
        lines = (tmp_path / name / 'feature_monitor.jsonl').read_text().splitlines()
        assert len(lines) == 3 and all('"knn/teacher_pat_k1"' in line for line in lines)
    # The momentum follows the length of the run, so only the student is to be the same.
    for key, value in states['whole'].items():
        if not key.startswith('teacher'):
            assert torch.equal(value, states['parts'][key]), key

    exported = tmp_path / 'exported.safetensors'
    tool('model_converters/export.py', checkpoint, exported, '--to', 'safetensors')
    monkeypatch.setenv('DATA_ROOT', str(tmp_path))
    numbers = []
    for source in (checkpoint, exported):
        work = tmp_path / source.suffix
        tool('test.py', ROOT / 'configs' / 'knn' / 'vit_folder.py', source, '--work-dir', work,
             '--cfg-options', f'model.size={SIZE}', 'test_dataloader.num_workers=0',
             'test_evaluator.0.k=1')  # fmt: skip
        (report,) = work.glob('*/knn.json')
        numbers.append(json.loads(report.read_text())['numbers']['accuracy'])
    assert numbers[0] == numbers[1] and set(numbers[0]) == {'cls', 'pat', 'hybrid'}

    images = [str(path) for path in sorted(photo_folder.glob('*.jpg'))[:2]]
    model = PullTogether(VIT)
    model.load_state_dict(states['parts'])
    expected = extract_features(model, images, size=SIZE)
    for source in (checkpoint, exported):
        found = extract_features(load_backbone(str(source)), images, size=SIZE)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_methods_keep_the_protocol():
    for model in (method(), with_head()):
        assert not lacking(model)
    assert issubclass(MMC, StudentTeacher)
    assert {'loss', 'network', 'backbone'} < set(lacking(torch.nn.Linear(1, 1)))
    assert lacking(torch.nn.Linear(1, 1)) == lacking(torch.nn.ReLU())


class Apart(BaseSelfSupervisor):
    """A method that keeps the protocol and inherits nothing of ours."""

    reconstructs, patch_size = False, 8

    def __init__(self):
        super().__init__(VIT, data_preprocessor=dict(type='ViewDataPreprocessor'))
        self.followed = MODELS.build(VIT)

    def loss(self, inputs, data_samples=None):
        return dict(loss=self.network('student')(inputs['views'][0])[-1].mean())

    def seen(self, inputs, noise=None):
        return Seen(inputs['views'])

    def network(self, name):
        return self.followed if name == 'teacher' else self.backbone

    def extract_feat(self, inputs, network='teacher'):
        return StudentTeacher.encode(self.network(network), inputs)

    def momentum_at(self, iteration, max_iters):
        return None

    def begin_epoch(self, epoch):
        pass

    update_teacher = reconstruct_layers = begin_epoch


def test_features_are_those_of_the_methods_own_teacher(photo_folder):
    torch.manual_seed(0)
    model, image = Apart(), str(next(iter(sorted(photo_folder.glob('*.jpg')))))
    assert not lacking(model)
    model.init_weights()
    found = extract_features(model, image, size=SIZE)
    for one, other in zip(found, extract_features(model.followed, image, size=SIZE), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(found[0], extract_features(model.backbone, image, size=SIZE)[0])


def test_what_gives_no_tokens_has_no_features(photo_folder):
    model = MODELS.build(dict(type='MAEViT', arch=VIT['arch'], img_size=SIZE, patch_size=8))
    with pytest.raises(ValueError, match='MAEViT does not return its tokens last'):
        extract_features(model, str(next(photo_folder.glob('*.jpg'))), size=SIZE)


class Headed(StudentTeacher):
    def __init__(self, heads, follows):
        super().__init__(VIT, heads=heads, follows=follows)

    def loss(self, inputs, data_samples=None):
        raise NotImplementedError


@pytest.mark.parametrize(
    'heads, follows, words',
    [
        (dict(rec_head=REC_HEAD), ('backbone', 'training'), 'The teacher follows the backbone'),
        (dict(rec_head=REC_HEAD), ('rec_head',), 'The teacher follows the backbone'),
        (dict(teacher=REC_HEAD), ('backbone',), "A head cannot be called 'teacher'"),
        (dict(backbone=REC_HEAD), ('backbone',), "A head cannot be called 'backbone'"),
        (dict(training=REC_HEAD), ('backbone',), "A head cannot be called 'training'"),
    ],
)
def test_a_teacher_follows_backbone_and_heads_alone(heads, follows, words):
    with pytest.raises(InputError, match=words):
        Headed(heads, follows)


def test_momentum_rises_along_half_a_cosine():
    model = method(momentum=0.996, end_momentum=1.0)
    assert model.momentum_at(0, 100) == pytest.approx(0.996, abs=1e-15)
    assert model.momentum_at(25, 100) == pytest.approx(
        1 - 0.004 * (1 + math.sqrt(0.5)) / 2, abs=1e-12
    )
    assert model.momentum_at(50, 100) == pytest.approx(0.998, abs=1e-15)
    assert model.momentum_at(100, 100) == 1.0
    rates = [model.momentum_at(i, 100) for i in range(100)]
    assert rates == sorted(rates) and rates[-1] < 1
    assert method(momentum=0.9, end_momentum=0.9).momentum_at(7, 10) == 0.9


@pytest.mark.parametrize('rates', [(0.9, 0.5), (-0.1, 1.0), (0.9, 1.1)])
def test_falling_or_impossible_momenta_are_refused(rates):
    with pytest.raises(ValueError, match='model.momentum must rise within'):
        method(momentum=rates[0], end_momentum=rates[1])


def test_the_teacher_follows_what_it_is_told_to():
    model = with_head()
    assert set(dict(model.teacher.named_children())) == {'backbone'}
    assert model.network('teacher') is model.teacher.backbone
    assert model.network('student') is model.backbone


def test_crops_of_each_resolution_in_one_forward():
    model = method().eval()
    crops = [torch.randn(3, 2, 3, 16, 16), torch.randn(1, 2, 3, 24, 24)]
    sizes = []
    model.backbone.register_forward_hook(lambda m, args, out: sizes.append(tuple(args[0].shape)))
    found = model.encode_crops(crops)
    assert sizes == [(6, 3, 16, 16), (2, 3, 24, 24)]
    expected = [model.extract_feat(crop, 'student')[0] for each in crops for crop in each]
    torch.testing.assert_close(found, torch.stack(expected))
    torch.testing.assert_close(model.encode_crops(crops[0]), found[:3])


def test_each_layer_is_what_a_model_that_ends_there_reconstructs():
    model, images = with_head(), torch.randn(2, 3, SIZE, SIZE)
    layers = [1, 0, -1]
    with torch.no_grad():
        found = model.reconstruct_layers(images, layers)
        assert torch.equal(found[2], model.reconstruct_layers(images, [-1])[0])
        for layer, picture in zip(layers, found, strict=True):
            shallow = with_head()
            last = layer % DEPTH
            shallow.backbone.layers = shallow.backbone.layers[: last + 1]
            shallow.backbone.out_indices = [last]
            torch.testing.assert_close(picture, shallow.reconstruct_layers(images, [-1])[0])
    assert not any(block._forward_hooks for block in model.backbone.layers)


def test_what_cannot_be_reconstructed_is_said():
    images = torch.randn(1, 3, SIZE, SIZE)
    with pytest.raises(ValueError, match='0 to 2 or from -1 to -3 in this backbone, got 3'):
        with_head().reconstruct_layers(images, [0, 3])
    assert not method().reconstructs
    with pytest.raises(ValueError, match='no reconstruction head'):
        method().reconstruct_layers(images, [-1])


def test_the_reconstruction_head_runs_on_touched_patches_with_the_loss_and_gradient_of_all():
    model = with_head().double()
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(2, 3, 32, 32, generator=generator) < 0.01  # single pixels
    views = torch.randn(2, 3, 3, 32, 32, generator=generator, dtype=torch.float64)
    tokens = torch.randn(2, 3, 16, WIDTH, generator=generator, dtype=torch.float64)
    rows, found = [], []
    model.rec_head.register_forward_hook(lambda m, args, out: rows.append(args[0].shape[:-1]))
    for some in (True, False):
        patches = tokens.clone().requires_grad_()
        model.zero_grad()
        if some:
            loss = model.reconstruction_loss(patches, dict(views=views, mask=mask))
        else:
            pixels = model.rec_head(patches).flatten(0, 1)
            loss = model.rec_head.loss(pixels, views.flatten(0, 1), mask.flatten(0, 1))
        loss.backward()
        grads = [p.grad.clone() for p in model.rec_head.parameters()]
        found.append([loss.detach(), patches.grad, *grads])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)
    assert rows[0].numel() < 0.8 * rows[1].numel()
