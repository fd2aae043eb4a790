import pytest
import torch
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS

import mmc_plugin  # noqa: F401  registers
from mmc_plugin.models.backbones.pretrained_vit import PretrainedViT

ARCH = dict(embed_dims=64, num_layers=2, num_heads=1, feedforward_channels=64)


@pytest.fixture
def build(tmp_path):
    init_default_scope('mmpretrain')
    vit = PretrainedViT(arch=ARCH, img_size=32, patch_size=8, out_type='raw')
    torch.save(vit.state_dict(), tmp_path / 'vit.pth')

    def build(mean=(123.675, 116.28, 103.53), keep_bytes=0, **backbone):
        backbone = dict(type='PretrainedViT', checkpoint=str(tmp_path / 'vit.pth'), out_type='raw',
                        frozen=False) | backbone  # fmt: skip
        head = dict(type='TokenClsHead', num_classes=3, kind='hybrid')
        images = dict(mean=list(mean), std=[58.395, 57.12, 57.375], to_rgb=True)
        model = MODELS.build(
            dict(
                type='ViTClassifier',
                backbone=backbone,
                head=head,
                data_preprocessor=images,
                keep_bytes=keep_bytes,
            )
        )
        model.init_weights()
        return model, vit

    return build


def test_the_head_is_as_wide_as_the_checkpoint_and_the_weights_are_its(build):
    model, vit = build()
    assert model.head.fc.weight.shape == (3, 128)
    for name, value in vit.state_dict().items():
        assert torch.equal(model.backbone.state_dict()[name], value), name
    model.train()
    logits = model(torch.randn(2, 3, 32, 32))
    logits.sum().backward()
    assert logits.shape == (2, 3) and model.backbone.cls_token.grad is not None


@pytest.mark.parametrize('room', [0, 2 * 17 * 64 * 4, 2**20], ids=['none', 'two', 'all'])
def test_kept_tokens_are_those_of_the_backbone(build, room):
    model, vit = build(keep_bytes=room, frozen=True)
    seen = []
    model.backbone.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    images = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    vit.eval()
    with torch.no_grad():
        expected = vit(images)[-1]
    for order in ([0, 1, 2], [1, 0, 2], [3, 1, 4, 1], [4, 3, 2, 1, 0]):
        for mode in (True, False):
            tokens = model.train(mode).extract_feat(images[order])[-1]
            torch.testing.assert_close(tokens, expected[order])
    if room > 2**18:
        assert seen == [3, 2]  # each image once
    elif room:
        assert seen == [3, 1, 1, 1, 2, 2, 3, 3]  # the first two are kept
    else:
        assert seen == [3, 3, 3, 3, 4, 4, 5, 5]


def test_a_backbone_that_is_trained_keeps_nothing(build):
    with pytest.raises(ValueError, match='set model.backbone.frozen=True, or model.keep_bytes=0'):
        build(keep_bytes=1)


def test_other_outputs_get_a_sentence(build):
    with pytest.raises(ValueError, match="out_type must be 'raw', all tokens, got 'featmap'"):
        build(out_type='featmap')
