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

    def build(mean=(123.675, 116.28, 103.53), **backbone):
        backbone = dict(type='PretrainedViT', checkpoint=str(tmp_path / 'vit.pth'), out_type='raw',
                        frozen=False) | backbone  # fmt: skip
        head = dict(type='TokenClsHead', num_classes=3, kind='hybrid')
        images = dict(mean=list(mean), std=[58.395, 57.12, 57.375], to_rgb=True)
        model = MODELS.build(
            dict(type='ViTClassifier', backbone=backbone, head=head, data_preprocessor=images)
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


def test_other_outputs_get_a_sentence(build):
    with pytest.raises(ValueError, match="out_type must be 'raw', all tokens, got 'featmap'"):
        build(out_type='featmap')
