"""Each config, made tiny, is trained for an iteration with the tools and tested by them."""

import json
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmc_plugin.models import DetectionViT, SimpleFPN

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'detection'
NAMES = sorted(path.name for path in CONFIGS.glob('*.py'))


def test_the_promised_configs_exist():
    assert NAMES == [
        'vitb_coco_mask_rcnn_1024_100e.py', 'vits_coco_cascade_mask_rcnn_1x.py',
        'vits_coco_mask_rcnn_640_1x.py', 'vits_coco_mask_rcnn_frozen.py',
        'vits_voc0712_faster_rcnn.py',
    ]  # fmt: skip


@pytest.mark.parametrize('name', NAMES)
def test_the_full_model_has_the_strides_of_its_heads(name):
    from mmdet.registry import MODELS

    from mmc_plugin.detection.checks import check_strides

    cfg = Config.fromfile(CONFIGS / name)
    cfg.model.backbone.update(checkpoint=None)
    model = MODELS.build(cfg.model)
    assert isinstance(model.backbone, DetectionViT) and isinstance(model.neck, SimpleFPN)
    if 'vitb' not in name:  # whose blank image takes too long
        check_strides(model)
    assert model.training or model.backbone.frozen
    assert cfg.optim_wrapper.precision == 'fp32'  # mmcv's RoIAlign has no bf16


@pytest.mark.parametrize('name', NAMES)
def test_an_iteration_and_a_test(name, tiny, tool, tmp_path, weights):
    cfg = tiny(name)
    cfg.train_cfg.max_epochs = 1
    cfg.train_cfg.val_interval = 1
    cfg.param_scheduler = []
    cfg.optim_wrapper.optimizer.lr = 1e-6
    config = tmp_path / 'tiny.py'
    cfg.dump(config)
    code, said = tool('train.py', config, '--work-dir', 'work')
    assert code == 0, said[-3000:]
    log = next((tmp_path / 'work').glob('*/*.log')).read_text()
    losses = [float(each) for each in re.findall(r' loss: (\S+)', log)]
    assert losses and all(0 < each < 100 for each in losses)
    saved = torch.load(tmp_path / 'work' / 'epoch_1.pth', weights_only=False)['state_dict']
    given = torch.load(weights)['state_dict']
    for key, value in given.items():  # the one key has brought the weights
        if key != 'pos_embed':
            ours = saved[f'backbone.{key}']
            assert torch.equal(ours, value) or not cfg.model.backbone.frozen, key
            assert torch.allclose(ours, value, atol=1e-4), key
    moved = any(not torch.equal(saved[f'backbone.{k}'], v) for k, v in given.items()
                if k != 'pos_embed')  # fmt: skip
    assert moved != cfg.model.backbone.frozen
    # The detector's checkpoint is enough.
    cfg.model.backbone.checkpoint = 'gone.pth'
    cfg.dump(config)
    code, said = tool('test.py', config, 'work/epoch_1.pth', '--work-dir', 'tested',
                      '--show-dir', 'shown')  # fmt: skip
    assert code == 0, said[-3000:]
    report = json.loads((tmp_path / 'tested' / 'test_epoch_1.json').read_text())
    assert any('mAP' in key for key in report['numbers'])
    pictures = list((tmp_path / 'shown').glob('*'))
    assert len(pictures) == (2 if 'voc' in name else 4)


def test_groups_of_layer_decay_by_the_formula():
    from mmdet.registry import MODELS
    from mmengine.optim import build_optim_wrapper

    cfg = Config.fromfile(CONFIGS / 'vits_coco_mask_rcnn_640_1x.py')
    cfg.model.backbone.checkpoint = None
    model = MODELS.build(cfg.model)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    groups = {id(p): group for group in wrapper.param_groups for p in group['params']}
    for name, parameter in model.named_parameters():
        layer = re.match(r'backbone\.layers\.(\d+)\.', name)
        depth = int(layer[1]) + 1 if layer else 13
        if name.startswith(('backbone.patch_embed', 'backbone.cls_token', 'backbone.pos_embed')):
            depth = 0
        group = groups[id(parameter)]
        assert group['lr'] == pytest.approx(1e-4 * 0.7 ** (13 - depth)), name
        decays = parameter.ndim > 1 and not name.endswith(('cls_token', 'pos_embed'))
        assert group['weight_decay'] == (0.1 if decays else 0), name
