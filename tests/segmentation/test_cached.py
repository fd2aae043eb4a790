"""Cached features are those of the backbone, computed once."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.structures import PixelData

pytest.importorskip('mmseg')

from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

import mmc_plugin.segmentation  # noqa: F401  registers

ARCH = dict(embed_dims=32, num_layers=3, num_heads=2, feedforward_channels=64)
HEAD = dict(type='LinearHead', in_channels=[32, 32], num_classes=4, norm_cfg=dict(type='BN'))


def build(kind, folder=None, mode='whole', **backbone):
    torch.manual_seed(0)
    cfg = dict(
        type=kind,
        backbone=dict(
            type='mmpretrain.PretrainedViT',
            arch=ARCH,
            img_size=32,
            patch_size=8,
            out_type='featmap',
            out_indices=(0, 2),
            **backbone,
        ),
        decode_head=HEAD,
        test_cfg=dict(mode=mode, crop_size=(16, 16), stride=(8, 8)),
    )
    if folder is not None:
        cfg['cache_dir'] = str(folder)
    model = MODELS.build(ConfigDict(cfg))
    model.init_weights()
    return model


def batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(3, 3, 32, 40, generator=generator)
    labels = torch.randint(0, 4, (3, 1, 32, 40), generator=generator)
    meta = dict(img_shape=(32, 40), ori_shape=(32, 40))
    samples = [
        SegDataSample(gt_sem_seg=PixelData(data=label), metainfo=dict(meta, img_path=f'{i}.jpg'))
        for i, label in enumerate(labels)
    ]
    return images, samples


@pytest.fixture
def runs(monkeypatch):
    """Batch sizes that backbones were run with."""
    sizes = []
    kind = MODELS.get('mmpretrain.PretrainedViT')
    forward = kind.forward
    monkeypatch.setattr(kind, 'forward', lambda self, x: sizes.append(len(x)) or forward(self, x))
    return sizes


def test_losses_and_predictions_are_those_without_a_cache(tmp_path):
    plain, cached = build('EncoderDecoder'), build('CachedEncoderDecoder', tmp_path)
    images, samples = batch()
    for _ in range(2):  # computed, then read
        for mode in ('train', 'eval'):
            getattr(plain, mode)(), getattr(cached, mode)()
            expected = plain.loss(images, samples)['decode.loss_ce']
            assert cached.loss(images, samples)['decode.loss_ce'].item() == pytest.approx(
                expected.item(), rel=2e-3
            )  # half precision
    a, b = (model.predict(images, samples)[1].seg_logits.data.clone() for model in (plain, cached))
    assert (a - b).abs().max() < 5e-3 * a.abs().max()
    cached.loss(images, samples)['decode.loss_ce'].backward()
    for name, p in cached.named_parameters():
        assert (p.grad is not None) == name.startswith('decode_head.'), name


def test_the_backbone_runs_once_for_each_image_and_later_runs_read(tmp_path, runs):
    images, samples = batch()
    model = build('CachedEncoderDecoder', tmp_path)
    model.loss(images[:2], samples[:2])
    model.loss(images, samples)
    model.predict(images[2:], samples[2:])
    assert runs == [2, 1] and len(list(tmp_path.glob('*.npy'))) == 3
    build('CachedEncoderDecoder', tmp_path).loss(images, samples)
    assert runs == [2, 1]


def test_another_backbone_or_image_has_features_of_its_own(tmp_path, runs):
    images, samples = batch()
    model = build('CachedEncoderDecoder', tmp_path)
    model.loss(images, samples)
    state = model.state_dict()
    state['backbone.layers.0.ffn.layers.1.bias'] = state['backbone.layers.0.ffn.layers.1.bias'] + 1
    model.load_state_dict(state)
    model.loss(images, samples)
    assert runs == [3, 3]
    other = build('CachedEncoderDecoder', tmp_path, norm_cfg=dict(type='LN', eps=1e-3))
    other.loss(images, samples)
    assert runs == [3, 3, 3]
    model.predict(batch(1)[0], samples)
    assert runs == [3, 3, 3, 3]


def test_random_pixels_are_refused(tmp_path):
    model = build('CachedEncoderDecoder', tmp_path)
    images, samples = batch()
    model.loss(images, samples)
    images[1, 2, 31, 39] += 1e-3
    with pytest.raises(ValueError, match='1.jpg came with other pixels than before.*RandomFlip'):
        model.loss(images, samples)


def test_what_cannot_be_cached_is_refused(tmp_path):
    with pytest.raises(ValueError, match='needs a frozen backbone'):
        build('CachedEncoderDecoder', tmp_path, frozen=False)
    with pytest.raises(ValueError, match="mode='whole'"):
        build('CachedEncoderDecoder', tmp_path, mode='slide')
    model = dict(type='CachedEncoderDecoder', cache_dir=str(tmp_path))
    with pytest.raises(ValueError, match='no place for a neck or an auxiliary head'):
        MODELS.build(
            dict(
                model,
                backbone=dict(
                    type='mmpretrain.PretrainedViT',
                    arch=ARCH,
                    img_size=32,
                    patch_size=8,
                    out_type='featmap',
                    out_indices=(0, 2),
                ),
                decode_head=HEAD,
                auxiliary_head=HEAD,
            )
        )
