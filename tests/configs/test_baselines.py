"""The baselines that need settings of their own run a release as its own code does."""

from pathlib import Path

import pytest
import timm
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmc_plugin.models.backbones import PretrainedViT

CONFIGS = Path(__file__).parents[2] / 'configs' / 'baselines'
DATA = dict(ade20k='ADE20KDataset', cityscapes='CityscapesDataset', voc12aug='PascalVOCDataset')
# Release and size: timm's name, settings, width.
RELEASES = {
    ('mocov3', 'vits'): ('vit_small_patch16_224', dict(num_heads=12), 384),
    ('mocov3', 'vitb'): ('vit_base_patch16_224', {}, 768),
    ('dinov2', 'vits'): ('vit_small_patch14_dinov2', {}, 384),
    ('dinov2', 'vitb'): ('vit_base_patch14_dinov2', {}, 768),
}


def release(name: str, size: str, folder: Path) -> tuple[torch.nn.Module, str]:
    """timm's model with random weights, and a file of them in the release's layout."""
    arch, settings, _ = RELEASES[name, size]
    torch.manual_seed(0)
    model = timm.create_model(arch, num_classes=0, **settings).eval()
    state = model.state_dict()
    if name == 'mocov3':
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
    path = folder / f'{name}_{size}.pth'
    torch.save(state, path)
    return model, str(path)


@pytest.fixture
def linear(monkeypatch):
    """Read the config of a release for Table 3."""
    pytest.importorskip('mmseg')

    def linear(name: str, choice: str | None) -> Config:
        monkeypatch.delenv('MMC_LINEAR', raising=False)
        if choice is not None:
            monkeypatch.setenv('MMC_LINEAR', choice)
        return Config.fromfile(CONFIGS / f'{name}_linear_40k.py')

    return linear


@pytest.mark.parametrize('name, size', RELEASES)
def test_size_and_data_are_those_of_the_environment(name, size, linear):
    for data, kind in DATA.items():
        cfg = linear(name, f'{size}_{data}')
        assert cfg.work_dir == f'work_dirs/{name}_{size}_{data}_linear_40k'
        assert cfg.val_dataloader.dataset.dataset.type == kind
        with torch.device('meta'), DefaultScope.overwrite_default_scope('mmseg'):
            model = MODELS.build(cfg.model)
        assert model.backbone.embed_dims == RELEASES[name, size][2]
        assert model.decode_head.conv_seg.weight.shape[1] == 4 * model.backbone.embed_dims
        ade = linear(name, f'{size}_ade20k').model
        assert (cfg.model.backbone, cfg.model.test_cfg) == (ade.backbone, ade.test_cfg)
    assert linear(name, None).model == linear(name, 'vits_ade20k').model
    with pytest.raises(FileNotFoundError, match='vits_camvid_linear_40k.py'):
        linear(name, 'vits_camvid')


@pytest.mark.parametrize('name, size', RELEASES)
@torch.no_grad()
def test_features_are_those_of_the_release(name, size, linear, tmp_path):
    reference, path = release(name, size, tmp_path)
    # At the size of its positions: timm resizes them otherwise than the releases do.
    images = torch.randn(1, 3, *reference.patch_embed.img_size)
    configs = [linear(name, f'{size}_ade20k')]
    if name == 'mocov3':  # DINOv2 needs nothing of its own to be clicked on
        configs.append(Config.fromfile(CONFIGS / 'mocov3_coco.py'))
    for cfg in configs:
        settings = cfg.model.backbone
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
