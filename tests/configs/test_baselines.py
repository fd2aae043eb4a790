"""The baselines that need settings of their own run a release as its own code does."""

from pathlib import Path

import pytest
import timm
import torch
from mmengine.config import Config

from mmc_plugin.models.backbones import PretrainedViT

CONFIGS = Path(__file__).parents[2] / 'configs' / 'baselines'
FILES = sorted(path.stem for path in CONFIGS.glob('*.py'))
RELEASES = {
    'mocov3_vits16': ('vit_small_patch16_224', dict(num_heads=12)),
    'mocov3_vitb16': ('vit_base_patch16_224', {}),
    'dinov2_vits14': ('vit_small_patch14_dinov2', {}),
    'dinov2_vitb14': ('vit_base_patch14_dinov2', {}),
}


def release(name: str, folder: Path) -> tuple[torch.nn.Module, str]:
    """timm's model with random weights, and a file of them in the release's layout."""
    arch, settings = RELEASES[name]
    torch.manual_seed(0)
    model = timm.create_model(arch, num_classes=0, **settings).eval()
    state = model.state_dict()
    if name.startswith('mocov3'):
        other = {key: value + 1 for key, value in state.items()}
        state = dict(
            arch=arch,
            state_dict={
                f'module.{encoder}.{key}': value
                for encoder, weights in dict(base_encoder=state, momentum_encoder=other).items()
                for key, value in weights.items()
            },
        )
    else:
        state = dict(state, mask_token=torch.zeros(1, model.embed_dim))
    path = folder / f'{name}.pth'
    torch.save(state, path)
    return model, str(path)


def test_every_release_has_its_rows():
    assert {name.rsplit('_', 1)[0] for name in FILES} == set(RELEASES)
    for name in RELEASES:
        data = {each.rsplit('_', 1)[1] for each in FILES if each.startswith(name)}
        # DINOv2 needs nothing of its own to be clicked on.
        clicked = {'coco'} if 'moco' in name else set()
        assert data == {'ade20k', 'cityscapes', 'voc12aug'} | clicked


@pytest.mark.parametrize('name', sorted(RELEASES))
@torch.no_grad()
def test_features_are_those_of_the_release(name, tmp_path):
    reference, path = release(name, tmp_path)
    # At the size of its positions: timm resizes them otherwise than the releases do.
    images = torch.randn(1, 3, *reference.patch_embed.img_size)
    for config in (each for each in FILES if each.startswith(name)):
        cfg = Config.fromfile(CONFIGS / f'{config}.py')
        if cfg.default_scope == 'mmseg':
            pytest.importorskip('mmseg')
        settings = cfg.model.backbone
        if cfg.default_scope == 'mmseg' and not config.endswith('ade20k'):
            # The same backbone for each data set.
            ade = Config.fromfile(CONFIGS / f'{name}_ade20k.py').model
            assert (settings, cfg.model.test_cfg) == (ade.backbone, ade.test_cfg)
            continue
        settings.checkpoint = path
        settings.img_size = reference.patch_embed.img_size
        assert settings.pop('type').split('.')[-1] == 'PretrainedViT'
        backbone = PretrainedViT(**settings)
        backbone.init_weights()
        indices = list(backbone.out_indices)
        expected = reference.forward_intermediates(
            images, indices, norm=False, output_fmt='NLC', intermediates_only=True
        )
        found = backbone(images)
        assert len(found) == len(indices)
        for index, tokens, wanted in zip(indices, found, expected, strict=True):
            if index == 11:
                wanted = reference.norm(wanted)
            if tokens.ndim == 4:  # (B,D,h,w)
                tokens = tokens.flatten(2).transpose(1, 2)
            else:
                tokens = tokens[:, 1:]
            torch.testing.assert_close(tokens, wanted, atol=1e-4, rtol=1e-4)
