"""Whole trainings and tests by the tools, on synthetic images and a tiny model."""

import hashlib
import json
import multiprocessing
import os
import re
import runpy
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix
from timm.layers import resample_abs_pos_embed

pytest.importorskip('mmseg')

import mmseg
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from mmseg.apis import inference_model
from mmseg.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
HEAD = ('norm.weight', 'norm.bias', 'conv_seg.weight', 'conv_seg.bias')
SHORT = ('--cfg-options', 'train_cfg.max_iters=1', 'train_cfg.val_interval=1')


def build(config, **options):
    cfg = Config.fromfile(config)
    cfg.merge_from_dict(options)
    init_default_scope('mmseg')
    model = MODELS.build(cfg.model)
    model.cfg = cfg
    return model


@pytest.fixture(scope='module')
def saved(trained) -> dict:
    return torch.load(trained / 'iter_20.pth', weights_only=False)


def numbers(folder) -> dict:
    (path,) = folder.glob('test_*.json')
    return json.loads(path.read_text())['numbers']


def test_the_backbone_is_bit_for_bit_what_the_file_holds(saved, weights):
    state = saved['state_dict']
    for name, value in torch.load(weights)['state_dict'].items():
        if name != 'pos_embed':
            assert torch.equal(state[f'backbone.{name}'], value), name


def test_positions_are_those_of_timm(saved, weights):
    given = torch.load(weights)['state_dict']['pos_embed']
    expected = resample_abs_pos_embed(given, [4, 6], [4, 4], antialias=False)
    torch.testing.assert_close(saved['state_dict']['backbone.pos_embed'], expected)
    assert expected.shape[1] == 25


def test_the_optimiser_holds_the_head_alone(saved):
    groups = saved['optimizer']['param_groups']
    assert [len(group['params']) for group in groups] == [4]
    head = {n: v.shape for n, v in saved['state_dict'].items() if n.startswith('decode_head.')}
    held = {state['exp_avg'].shape for state in saved['optimizer']['state'].values()}
    assert held == {head[f'decode_head.{n}'] for n in HEAD}


def test_gradients_reach_the_head_and_no_further(tiny):
    model = build(tiny, **{'model.backbone.drop_path_rate': 0.9, 'model.backbone.checkpoint': None})
    model.init_weights()
    model.train()
    images = torch.randn(2, 3, 32, 48)
    first, second = model.extract_feat(images), model.extract_feat(images)
    for a, b in zip(first, second):
        assert torch.equal(a, b)  # neither drop-path nor dropout
        assert a.grad_fn is None and not a.requires_grad
    model.decode_head(first).sum().backward()
    graded = {name for name, p in model.named_parameters() if p.grad is not None}
    assert graded == {f'decode_head.{n}' for n in HEAD}


@pytest.fixture
def tested(call, tiny, trained, tmp_path):
    options = ('--work-dir', 'one', '--show-dir', 'shown')
    done = call('test.py', tiny, trained / 'iter_20.pth', *options)
    assert done.returncode == 0, done.stderr
    return tmp_path


def test_a_test_leaves_figures_and_pictures(tested, trained, tiny, street):
    report = json.loads((tested / 'one' / 'test_iter_20.json').read_text())
    assert report['config'] == str(tiny)
    assert report['checkpoint']['path'] == str(trained / 'iter_20.pth')
    assert 'CamVidDataset, 3 images, test of the whole image' in report['protocol']

    # The figures from mmseg's one-image function and scikit-learn's confusion matrix.
    model = build(tiny)
    load_checkpoint(model, str(trained / 'iter_20.pth'), map_location='cpu')
    model.eval()
    truth, prediction = [], []
    for path in sorted((street / 'img_dir' / 'val').iterdir()):
        prediction.append(inference_model(model, str(path)).pred_sem_seg.data.numpy().ravel())
        label = street / 'ann_dir' / 'val' / f'{path.stem}.png'
        truth.append(cv2.imread(str(label), cv2.IMREAD_UNCHANGED).ravel())
    truth, prediction = np.concatenate(truth), np.concatenate(prediction)
    matrix = confusion_matrix(truth[truth < 255], prediction[truth < 255], labels=range(11))
    union = matrix.sum(0) + matrix.sum(1) - matrix.diagonal()
    iou = 100 * matrix.diagonal()[union > 0] / union[union > 0]
    found = report['numbers']
    assert found['mIoU'] == pytest.approx(iou.mean())
    assert [v for v in found['IoU'].values() if v is not None] == pytest.approx(iou.tolist())
    assert found['aAcc'] == pytest.approx(100 * matrix.diagonal().sum() / matrix.sum())
    assert found['aAcc'] > 50  # a colour tells the class

    (scalars,) = trained.glob('*/vis_data/scalars.json')
    last = [json.loads(line) for line in scalars.read_text().splitlines()][-1]
    assert last['mIoU'] == pytest.approx(found['mIoU'], abs=0.00501)

    assert {p.name for p in (tested / 'shown').iterdir()} == {f'val{i}.png' for i in range(3)}


def test_two_processes_find_what_one_finds(tested, tiny, trained, free_port, monkeypatch):
    monkeypatch.chdir(tested)
    context = multiprocessing.get_context('fork')  # they need not import anything
    children = [
        context.Process(target=one_of_two, args=(rank, free_port, tiny, trained / 'iter_20.pth'))
        for rank in range(2)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(100)
        child.kill()
    assert [child.exitcode for child in children] == [0, 0]
    assert numbers(tested / 'two') == numbers(tested / 'one')


def one_of_two(rank, port, config, checkpoint):
    """What torchrun does for dist_test.sh."""
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE='2',
        LOCAL_WORLD_SIZE='2',
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=str(port),
        MMC_TEST_NAME='two',
    )
    options = ['--work-dir', 'two', '--launcher', 'pytorch']
    sys.argv = ['test.py', str(config), str(checkpoint), *options]
    runpy.run_path(str(ROOT / 'tools' / 'test.py'), run_name='__main__')


@pytest.mark.parametrize('size', [(32, 48), (24, 48)])
def test_one_window_is_the_whole_image(tiny, size):
    sliding = dict(mode='slide', crop_size=(32, 48), stride=(16, 24))
    whole = build(tiny, **{'model.backbone.checkpoint': None})
    whole.init_weights()
    slide = build(tiny, **{'model.test_cfg': sliding})
    slide.load_state_dict(whole.state_dict())
    images = torch.randn(2, 3, *size)
    a, b = (model.eval().predict(images) for model in (whole, slide))
    for x, y in zip(a, b):
        assert torch.equal(x.seg_logits.data, y.seg_logits.data)
    # With two windows it is no longer the same, so that the comparison means something.
    slide.test_cfg.crop_size = (24, 32)
    assert not torch.equal(a[0].seg_logits.data, slide.predict(images)[0].seg_logits.data)


def write_ade(root):
    """Five images in ADE20K's layout; label 0 is no class."""
    rng = np.random.default_rng(0)
    for split in ('training', 'validation'):
        for i in range(5):
            for kind, suffix, array in (
                ('images', 'jpg', rng.integers(0, 256, (40, 56, 3))),
                ('annotations', 'png', rng.integers(0, 151, (40, 56))),
            ):
                path = root / kind / split / f'{i}.{suffix}'
                path.parent.mkdir(parents=True, exist_ok=True)
                assert cv2.imwrite(str(path), array.astype(np.uint8))
    return root


def test_the_config_of_the_documentation(call, weights, tmp_path):
    """The lines for a project of mmsegmentation, run as they stand but for the sizes."""
    page = (ROOT / 'docs' / 'segmentation.md').read_text()
    (text,) = re.findall(r'```python\n(_base_ = .*?)```', page, re.DOTALL)
    assert len(text.strip().splitlines()) <= 12
    # An existing project: mmsegmentation's own base files.
    configs = Path(mmseg.__file__).parent / '.mim' / 'configs'
    shutil.copytree(configs / '_base_', tmp_path / 'configs' / '_base_')
    config = tmp_path / 'configs' / 'mmc' / 'mine.py'
    config.parent.mkdir()
    config.write_text(text)
    data = write_ade(tmp_path / 'ade')
    small = {
        'model.backbone.arch': 'deit-tiny',
        'model.decode_head.in_channels': [192] * 4,
        'model.backbone.img_size': 32,
        'model.backbone.patch_size': 8,
        'model.backbone.checkpoint': None,
        'model.data_preprocessor.size': (32, 32),
        'model.test_cfg.crop_size': (32, 32),
        'model.test_cfg.stride': (21, 21),
        'train_dataloader.dataset.data_root': str(data),
        'train_dataloader.num_workers': 0,
        'val_dataloader.dataset.data_root': str(data),
        'val_dataloader.num_workers': 0,
        'test_dataloader.dataset.data_root': str(data),
        'test_dataloader.num_workers': 0,
        'train_dataloader.dataset.pipeline.2.scale': (56, 40),
        'train_dataloader.dataset.pipeline.3.crop_size': (32, 32),
        'val_dataloader.dataset.pipeline.1.scale': (56, 40),
        'test_dataloader.dataset.pipeline.1.scale': (56, 40),
        'train_cfg.max_iters': 2,
        'train_cfg.val_interval': 2,
        'param_scheduler.0.end': 2,
        'default_hooks.checkpoint.interval': 2,
    }
    options = ['--cfg-options', *(f'{k}={v}'.replace(' ', '') for k, v in small.items())]
    done = call('train.py', config, '--work-dir', 'work', *options)
    assert done.returncode == 0, done.stderr[-3000:]
    checkpoint = tmp_path / 'work' / 'iter_2.pth'
    done = call('test.py', config, checkpoint, '--show-dir', 'shown', *options)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(list((tmp_path / 'shown').iterdir())) == 5
    assert 'per class results' in done.stdout + done.stderr


def test_a_backbone_that_is_not_named_is_an_error(make_tiny, street, refused, tmp_path):
    unset = make_tiny(tmp_path / 'unset.py', street, checkpoint='MMC_CHECKPOINT_is_not_set')
    line = refused('train.py', unset, '--work-dir', 'work', *SHORT)
    assert 'MMC_CHECKPOINT_is_not_set' in line


def test_the_log_says_which_weights_were_loaded(trained, weights):
    (log,) = trained.glob('*/*.log')
    (line,) = [each for each in log.read_text().splitlines() if 'The backbone is that of' in each]
    assert f'in {weights}: width 32, 2 layers, 2 heads' in line
    assert f'SHA-256 {hashlib.sha256(weights.read_bytes()).hexdigest()}.' in line


def test_a_random_backbone_on_request(call, tiny, tmp_path):
    done = call('train.py', tiny, '--work-dir', 'work', *SHORT, 'model.backbone.checkpoint=None')
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_checkpoint_of_another_patch_size(tiny, refused):
    line = refused(
        'train.py',
        tiny,
        '--work-dir',
        'work',
        *SHORT,
        'model.backbone.patch_size=16',
        'model.data_preprocessor.size_divisor=16',
    )
    assert 'patch_embed.projection.weight' in line and 'backbone.pth' in line


def test_fewer_layers_than_asked(tiny, refused):
    line = refused(
        'train.py', tiny, '--work-dir', 'work', *SHORT, 'model.backbone.out_indices=[5,7,9,11]'
    )
    assert 'layer 5' in line and 'has 2' in line


def test_a_size_that_the_patches_do_not_divide(tiny, refused):
    line = refused(
        'train.py', tiny, '--work-dir', 'work', *SHORT, 'model.data_preprocessor.size_divisor=20'
    )
    assert 'cannot be cut into patches' in line


def test_the_cached_config_learns_the_same(call, make_tiny, street, tmp_path):
    """Without augmentation, cached and not: the same head but for half precision."""
    heads, features = [], tmp_path / 'features'
    for name in ('vitt_camvid_linear_cached.py', 'vitt_camvid_linear.py'):
        config = make_tiny(tmp_path / name, street, name)
        start = 'dataset=dict(dataset=dict('
        steps = 'pipeline={{_base_.test_pipeline}}, '
        config.write_text(config.read_text().replace(start, start + steps, 1))
        work_dir = Path(name).stem
        # Whatever the precision, what is cached was computed in fp32.
        options = ('--work-dir', work_dir, '--cfg-options', 'optim_wrapper.precision=fp32')
        done = call('train.py', config, *options, MMC_FEATURE_CACHE=features)
        assert done.returncode == 0, done.stderr[-3000:]
        saved = torch.load(tmp_path / work_dir / 'iter_20.pth', weights_only=False)
        heads.append(saved['state_dict']['decode_head.conv_seg.weight'])
    assert len(list(features.glob('*.npy'))) == 9
    assert (heads[0] - heads[1]).abs().max() < 0.02 * heads[1].abs().max()


def test_a_run_made_longer_goes_on_with_the_rate_of_its_new_length(trained, tiny, tmp_path, call):
    work_dir = tmp_path / 'longer'
    shutil.copytree(trained, work_dir)
    (last,) = work_dir.glob('last_checkpoint')
    last.write_text(str(work_dir / 'iter_20.pth'))
    call('train.py', tiny, '--work-dir', work_dir, '--resume', '--cfg-options',
         'train_cfg.max_iters=80', 'train_cfg.val_interval=80')  # fmt: skip
    newest = max(work_dir.glob('*/vis_data/scalars.json'))
    rates = {
        row['iter']: row['lr'] for row in map(json.loads, newest.read_text().splitlines())
        if 'lr' in row
    }  # fmt: skip
    top = Config.fromfile(tiny).optim_wrapper.optimizer.lr
    for iteration in (21, 40, 80):  # linear to 0; the log's rate is that of the step or after it
        expected = top * (1 - iteration / 80)
        assert rates[iteration] == pytest.approx(expected, abs=top / 80 * 1.01)
