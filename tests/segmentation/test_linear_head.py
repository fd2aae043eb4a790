"""The head against plain torch."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

pytest.importorskip('mmseg')

from mmengine.structures import PixelData
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

import mmc_plugin.segmentation  # noqa: F401  registers

CHANNELS = (4, 6, 5)


def build(**kwargs):
    torch.manual_seed(0)
    head = MODELS.build(
        dict(
            type='LinearHead',
            in_channels=CHANNELS,
            num_classes=7,
            norm_cfg=dict(type='BN'),
            **kwargs,
        )
    )
    head.init_weights()
    nn.init.normal_(head.norm.weight)
    nn.init.normal_(head.norm.bias)
    return head


def features():
    generator = torch.Generator().manual_seed(1)
    sizes = ((5, 8), (5, 8), (10, 16))
    return [torch.randn(2, c, *s, generator=generator) for c, s in zip(CHANNELS, sizes)]


def plain(layers, head):
    """Layers on the first one's grid, side by side, batch norm of this batch, 1×1 convolution."""
    size = layers[0].shape[-2:]
    x = torch.cat(
        [F.interpolate(x, size=size, mode='bilinear', align_corners=False) for x in layers], 1
    )
    mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), unbiased=False, keepdim=True)
    x = (x - mean) / (var + 1e-5).sqrt() * head.norm.weight.view(-1, 1, 1)
    x = x + head.norm.bias.view(-1, 1, 1)
    weight = head.conv_seg.weight.flatten(1)
    return torch.einsum('oc,bchw->bohw', weight, x) + head.conv_seg.bias.view(-1, 1, 1)


def test_logits_are_those_of_plain_torch():
    head, layers = build().train(), features()
    torch.testing.assert_close(head(layers), plain(layers, head), rtol=1e-4, atol=1e-5)


def test_loss_is_cross_entropy_over_labelled_pixels():
    head, layers = build().train(), features()
    labels = torch.randint(0, 7, (2, 1, 20, 32))
    labels[torch.rand(labels.shape) < 0.3] = 255
    samples = [SegDataSample(gt_sem_seg=PixelData(data=each)) for each in labels]
    losses = head.loss(layers, samples, None)
    logits = F.interpolate(plain(layers, head), size=(20, 32), mode='bilinear')
    each = F.cross_entropy(logits, labels[:, 0], ignore_index=255, reduction='none')
    # mmseg divides by all pixels unless told otherwise (avg_non_ignore).
    torch.testing.assert_close(losses['loss_ce'], each.mean(), rtol=1e-4, atol=1e-5)


def test_losses_are_those_of_mmseg_and_the_accuracy_is_that_of_the_grid():
    terms = [dict(type='CrossEntropyLoss', loss_weight=0.5), dict(type='DiceLoss')]
    head, layers = build(loss_decode=[*terms, terms[0]]).eval(), features()
    labels = torch.randint(0, 7, (2, 1, 15, 24))
    labels[torch.rand(labels.shape) < 0.3] = 255
    logits = head(layers)  # 5×8
    for each, on_grid in ((labels, labels[:, 0, ::3, ::3]), (labels[..., :5, :8],) * 2):
        samples = [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in each]
        mine = head.loss_by_feat(logits, samples)
        theirs = BaseDecodeHead.loss_by_feat(head, logits, samples)
        assert set(mine) == set(theirs) == {'loss_ce', 'loss_dice', 'acc_seg'}
        for name in ('loss_ce', 'loss_dice'):
            torch.testing.assert_close(mine[name], theirs[name])
        on_grid = on_grid.reshape(2, 5, 8)
        hits = (logits.argmax(1) == on_grid)[on_grid != 255]
        torch.testing.assert_close(mine['acc_seg'], 100 * hits.float().mean()[None])


def test_the_parameters_are_a_norm_and_a_convolution():
    shapes = {name: tuple(p.shape) for name, p in build().named_parameters()}
    assert shapes == {
        'norm.weight': (15,),
        'norm.bias': (15,),
        'conv_seg.weight': (7, 15, 1, 1),
        'conv_seg.bias': (7,),
    }


def test_the_norm_is_sync_bn_by_default():
    head = MODELS.build(dict(type='LinearHead', in_channels=[4], num_classes=3))
    assert isinstance(head.norm, nn.SyncBatchNorm) and head.dropout is None
