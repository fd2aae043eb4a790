"""mmpretrain's methods on our views against themselves."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.logging import MessageHub
from mmpretrain.registry import MODELS

from mmc_plugin.engine.fsdp import check_shardable
from mmc_plugin.models.selfsup import lacking

from .test_overfitting import least_contrast, overfit

ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)
NECK = dict(
    type='NonLinearNeck', in_channels=24, hid_channels=16, out_channels=8, num_layers=2,
    with_avg_pool=False,
)  # fmt: skip
MOCO = dict(
    type='MoCoV3',
    backbone=dict(type='MoCoV3ViT', arch=ARCH, img_size=32, patch_size=8),
    neck=NECK,
    head=dict(
        type='MoCoV3Head', predictor=dict(NECK, in_channels=8),
        loss=dict(type='CrossEntropyLoss', loss_weight=0.4), temperature=0.2,
    ),
)  # fmt: skip
MAE = dict(
    type='MAE',
    backbone=dict(type='MAEViT', arch=ARCH, img_size=32, patch_size=8, mask_ratio=0.75),
    neck=dict(
        type='MAEPretrainDecoder', num_patches=16, patch_size=8, embed_dim=24,
        decoder_embed_dim=12, decoder_depth=1, decoder_num_heads=2,
    ),
    head=dict(
        type='MAEPretrainHead', norm_pix=True, patch_size=8,
        loss=dict(type='PixelReconstructionLoss', criterion='L2'),
    ),
)  # fmt: skip


def build(cfg):
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    return model.train()


@pytest.mark.parametrize('cfg', [MOCO, MAE], ids=['MoCoV3', 'MAE'])
def test_the_loss_is_the_hosts(cfg):
    views = torch.randn(2, 4, 3, 32, 32)
    host, ours = build(cfg), build(dict(cfg, type=f'View{cfg["type"]}'))
    assert not lacking(ours)
    ours.load_state_dict(host.state_dict())
    torch.manual_seed(1)
    expected = host.loss(views[0] if cfg is MAE else list(views), None)['loss']
    torch.manual_seed(1)
    views = views[:1] if cfg is MAE else views
    assert ours.loss(dict(views=views))['loss'].item() == expected.item()


@pytest.mark.parametrize('cfg', [MOCO, MAE], ids=['MoCoV3', 'MAE'])
def test_local_crops_are_refused(cfg):
    views = torch.randn(1 if cfg is MAE else 2, 4, 3, 32, 32)
    with pytest.raises(ValueError, match=f'View{cfg["type"]} takes no local crops'):
        build(dict(cfg, type=f'View{cfg["type"]}')).loss(dict(views=views, crops=[views]))


@pytest.mark.parametrize(
    'cfg, wanted, found', [(MOCO, 2, 1), (MOCO, 2, 3), (MAE, 1, 2)], ids=['1', '3', 'MAE']
)
def test_other_views_than_the_loss_is_made_for_are_refused(cfg, wanted, found):
    model = build(dict(cfg, type=f'View{cfg["type"]}'))
    with pytest.raises(ValueError, match=f'needs {wanted} views? of each image and gets {found}'):
        model.loss(dict(views=torch.randn(found, 4, 3, 32, 32)))


def test_a_batch_of_one_image_is_refused_by_moco():
    with pytest.raises(ValueError, match='a batch of one image by batch norm: raise train_datalo'):
        build(dict(MOCO, type='ViewMoCoV3')).loss(dict(views=torch.randn(2, 1, 3, 32, 32)))


@pytest.mark.parametrize('cfg', [MOCO, MAE], ids=['MoCoV3', 'MAE'])
def test_features_are_all_tokens_after_the_last_norm(cfg):
    model = build(dict(cfg, type=f'View{cfg["type"]}')).eval()
    vit = MODELS.build(
        dict(type='VisionTransformer', arch=ARCH, img_size=32, patch_size=8, out_type='raw')
    )
    vit.eval()  # returns nothing
    images = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        for each in model.network('teacher').parameters():
            each.add_(0.1 * torch.randn_like(each))
        for name in ('teacher', 'student'):
            vit.load_state_dict(model.network(name).state_dict())
            tokens = vit(images)[-1]
            cls, patches = model.extract_feat(images, name)
            torch.testing.assert_close(cls, tokens[:, 0])
            torch.testing.assert_close(patches, tokens[:, 1:])
    teacher_moves = model.network('teacher') is not model.network('student')
    assert teacher_moves == (cfg is MOCO) and model.momentum_at(0, 10) is None
    with pytest.raises(ValueError, match="'teacher' or 'student'"):
        model.network('neck')
    with pytest.raises(ValueError, match='no reconstruction head'):
        model.reconstruct_layers(images, [-1])


def test_four_images_are_learned_by_moco_down_to_the_best_of_all_queries():
    hub = MessageHub.get_current_instance()  # the host's momentum follows a schedule
    hub.update_info_dict(dict(iter=0, max_iters=300))
    model = build(dict(MOCO, type='ViewMoCoV3', base_momentum=1e-12)).eval()  # the teacher stands
    views = torch.randn(4, 3, 32, 32).expand(2, -1, -1, -1, -1)
    with torch.no_grad():
        model.loss(dict(views=views))  # the first copies the student
        keys = F.normalize(model.momentum_encoder(views[0])[0], dim=1)
    least = 2 * 0.4 * least_contrast(lambda queries: queries @ keys.T / 0.2)
    out = overfit(model, dict(views=views), 'loss')
    with torch.no_grad():  # it has stood
        torch.testing.assert_close(F.normalize(model.momentum_encoder(views[0])[0], dim=1), keys)
    assert least - 1e-4 <= out['loss'].item() < least + 0.02


def test_four_images_are_learned_by_mae_down_to_nothing():
    model = build(dict(MAE, type='ViewMAE'))
    ramp = torch.linspace(-1, 1, 32)
    across, down = ramp.expand(32, 32), ramp[:, None].expand(32, 32)
    # Normalised, all patches of an image are the same ramp, whichever are hidden.
    views = torch.stack([across, -across, down, -down])[:, None].expand(1, 4, 3, 32, 32)
    first = model.loss(dict(views=views))['loss'].item()
    assert first > 0.9  # of targets with variance 1
    assert overfit(model, dict(views=views), 'loss', steps=500)['loss'].item() < 0.01


def test_a_teacher_that_moves_in_the_forward_pass_is_not_sharded():
    with pytest.raises(ValueError, match='ViewMoCoV3 moves its teacher in its forward pass'):
        check_shardable(build(dict(MOCO, type='ViewMoCoV3')))
    check_shardable(build(dict(MAE, type='ViewMAE')))  # it has none
    check_shardable(torch.nn.Linear(1, 1))
