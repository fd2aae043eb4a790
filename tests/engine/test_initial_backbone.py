"""A pretraining that starts from a backbone of others."""

import pytest
import timm
import torch
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS

from mmc_plugin.apis import load_backbone
from mmc_plugin.engine import cli
from mmc_plugin.engine.initial_backbone import forget_initial_backbone, set_initial_backbone
from mmc_plugin.errors import InputError

HEADS = {f'model.{name}_head.hidden_channels': 8 for name in ('rec', 'patch', 'cls')}


def small_timm(path, size=48, patch=16, **settings) -> str:
    """A ViT in timm's names; its register tokens and LayerScale are not of ``vits_folder.py``."""
    torch.manual_seed(0)
    model = timm.models.VisionTransformer(
        img_size=size, patch_size=patch, embed_dim=64, depth=2, num_heads=1, num_classes=5,
        init_values=0.5, reg_tokens=2, no_embed_class=True, **settings,
    )  # fmt: skip
    torch.save(model.state_dict(), path)
    return str(path)


def build(cfg):
    init_default_scope('mmpretrain')
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model


def test_student_and_teacher_have_its_weights_and_features(tmp_path, capsys):
    source = small_timm(tmp_path / 'timm.pth')
    cfg = cli.load_config('mmc/vits_folder.py', HEADS)
    set_initial_backbone(cfg, source)
    said = capsys.readouterr().out
    assert (
        'Student and teacher start with the backbone of ViT in the names of timm' in said
        and 'SHA-256' in said
    )
    model = build(cfg)
    given = load_backbone(source).state_dict()
    for backbone in (model.backbone, model.teacher.backbone):
        found = backbone.state_dict()
        assert set(found) == set(given)
        for name in given:
            if name != 'pos_embed':  # 3×3, resized to the 14×14 of the config
                assert torch.equal(found[name], given[name]), name
        assert found['pos_embed'].shape == (1, 197, 64)
        assert torch.allclose(  # a grid resized keeps its mean, about
            found['pos_embed'].mean(), given['pos_embed'].mean(), atol=1e-3
        )
    assert all(each.requires_grad for each in model.backbone.parameters())
    assert not any(each.requires_grad for each in model.teacher.parameters())
    model.backbone.eval(), model.teacher.eval()
    image = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        expected = load_backbone(source, img_size=224)(image)[0]
        assert torch.allclose(model.teacher.backbone(image)[0], expected, atol=1e-5)
        assert torch.equal(model.backbone(image)[0], model.teacher.backbone(image)[0])


def test_heads_masks_and_images_follow_its_patches(tmp_path):
    source = small_timm(tmp_path / 'timm.pth', 56, 14)
    cfg = cli.load_config('mmc/vits_folder.py', HEADS)
    set_initial_backbone(cfg, source)
    model = build(cfg)
    assert model.patch_size == cfg.model.rec_head.patch_size == 14
    steps = [each for each in cfg.train_dataloader.dataset.pipeline if each.type == 'GMMLMask']
    assert [each.align for each in steps] == [14]


@pytest.mark.parametrize('config, step, key, expected', [
    ('ibot/vits_in1k_800e.py', 'BlockMask', 'patch_size', 14),
    ('msn/vits_in1k_800e.py', 'PatchDrop', 'patch_size', 14),
    ('sit/vits_in1k_800e.py', 'GMMLMask', 'align', 1),  # on any pixel, as before
])  # fmt: skip
def test_masks_of_the_family_follow_too(config, step, key, expected, tmp_path):
    cfg = cli.load_config(config, None)
    set_initial_backbone(cfg, small_timm(tmp_path / 'timm.pth', 56, 14))
    steps = [each for each in cfg.train_dataloader.dataset.pipeline if each.type == step]
    assert [each[key] for each in steps] == [expected]


def test_what_the_host_takes_by_itself_need_not_be_in_the_config(tmp_path):
    """The size of images, and the preprocessor beside the model."""
    cfg = cli.load_config('mmc/vits_folder.py', HEADS)
    del cfg.model.backbone['img_size']
    cfg.data_preprocessor = cfg.model.pop('data_preprocessor')
    set_initial_backbone(cfg, small_timm(tmp_path / 'timm.pth'))
    assert cfg.model.backbone.img_size == 224
    assert cfg.model.data_preprocessor.to_rgb and cfg.model.data_preprocessor.mean[0] > 1


def test_images_are_normalised_as_it_was_trained_with(tmp_path):
    source = small_timm(tmp_path / 'timm.pth')
    weights = {f'backbone.{name}': x for name, x in load_backbone(source).state_dict().items()}
    text = 'model = dict(data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[64, 64, 64]))'
    content = dict(meta=dict(cfg=text), state_dict=weights)
    torch.save(content, tmp_path / 'run.pth')
    cfg = cli.load_config('mmc/vits_folder.py', HEADS)
    set_initial_backbone(cfg, str(tmp_path / 'run.pth'))
    model = build(cfg)
    assert model.data_preprocessor.mean.flatten().tolist() == [127.5] * 3
    assert model.data_preprocessor.std.flatten().tolist() == [64] * 3


def test_what_it_cannot_start_from(tmp_path):
    source = small_timm(tmp_path / 'timm.pth', 40, 20)
    cfg = cli.load_config('mmc/vits_folder.py', None)
    with pytest.raises(InputError, match='patches of 20 pixels, which do not divide images of 224'):
        set_initial_backbone(cfg, source)
    with pytest.raises(FileNotFoundError, match=r'gone\.pth does not exist'):
        set_initial_backbone(cfg, str(tmp_path / 'gone.pth'))
    (tmp_path / 'text.pth').write_text('not one')
    with pytest.raises(InputError, match='is a text file'):
        set_initial_backbone(cfg, str(tmp_path / 'text.pth'))
    other = cli.load_config('zero_shot/vit_coco.py', None, strict=False)
    with pytest.raises(InputError, match='trains no backbone with a momentum teacher'):
        set_initial_backbone(other, source)


def test_a_run_that_goes_on_does_not_read_it_again(tmp_path):
    source = small_timm(tmp_path / 'timm.pth')
    cfg = cli.load_config('mmc/vits_folder.py', HEADS)
    set_initial_backbone(cfg, source)
    (tmp_path / 'timm.pth').unlink()
    with pytest.raises(FileNotFoundError):
        build(cfg)
    assert forget_initial_backbone(cfg) == source
    build(cfg)
    plain = cli.load_config('mmc/vits_folder.py', None)
    before = plain.to_dict()
    forget_initial_backbone(plain)
    assert plain.to_dict() == before
