"""A pretraining that starts from a backbone of others."""

import pytest
import timm
import torch
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS

from mmc_plugin.apis import load_backbone
from mmc_plugin.engine import cli
from mmc_plugin.engine.initial_backbone import forget_initial_backbone, set_initial_backbone
from mmc_plugin.engine.training import training_config
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


def test_masks_follow_where_the_config_leaves_their_patch_size_out(tmp_path):
    cfg = cli.load_config('msn/vits_in1k_800e.py', None)
    (step,) = (each for each in cfg.train_dataloader.dataset.pipeline if each.type == 'PatchDrop')
    del step.patch_size
    set_initial_backbone(cfg, small_timm(tmp_path / 'timm.pth', 56, 14))
    assert step.patch_size == 14


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


def run_of_ours(cfg, path, keep=lambda name: True):
    """A checkpoint of a run with other weights in the teacher than in the student."""
    torch.manual_seed(1)
    model = build(cfg)
    with torch.no_grad():
        for each in model.parameters():
            each.normal_()
    state = {name: value for name, value in model.state_dict().items() if keep(name)}
    torch.save(dict(meta=dict(epoch=1, iter=1), state_dict=state), path)
    return state


def test_heads_that_fit_are_taken(tmp_path, capsys):
    """Those of the teacher, and the student's of one that the teacher has not."""
    options = HEADS | {'model.backbone.arch': 'deit-tiny'}
    options |= {f'model.{name}_head.in_channels': 192 for name in ('rec', 'patch', 'cls')}
    state = run_of_ours(cli.load_config('mmc/vits_folder.py', options), tmp_path / 'run.pth')
    cfg = cli.load_config('mmc/vits_folder.py', options | {'model.cls_head.hidden_channels': 7})
    set_initial_backbone(cfg, str(tmp_path / 'run.pth'))
    said = ' '.join(capsys.readouterr().out.split())
    taken = sum(name.startswith(('rec_head.', 'teacher.patch_head.')) for name in state)
    count = sum(name.startswith('rec_head.') for name in state)
    assert f'model.rec_head starts with {count} weights from there' in said and 0 < count < taken
    assert (
        'model.cls_head starts anew, since that of the checkpoint differs; of the wrong shape: '
        'layers.0.weight (8, 192) for (7, 192)'
    ) in said
    left = sum(not name.startswith('teacher.backbone.') for name in state) - taken
    assert f'Left out {left} other weights of {tmp_path / "run.pth"}.' in said
    model = build(cfg)
    for name, value in model.rec_head.state_dict().items():
        assert torch.equal(value, state[f'rec_head.{name}']), name
    for head in (model.patch_head, model.teacher.patch_head):
        for name, value in head.state_dict().items():
            assert torch.equal(value, state[f'teacher.patch_head.{name}']), name
    assert not torch.equal(
        model.cls_head.layers[3].weight, state['teacher.cls_head.layers.3.weight'][:7, :7]
    )
    forget_initial_backbone(cfg)
    assert 'init_cfg' not in cfg.model.rec_head


@pytest.mark.parametrize('norm', [torch.nn.utils.weight_norm,
                                  torch.nn.utils.parametrizations.weight_norm])  # fmt: skip
@pytest.mark.filterwarnings('ignore:.*weight_norm:FutureWarning')
def test_the_head_of_the_dino_release(tmp_path, norm):
    """Oracle: the release's own head, vision_transformer.py of facebookresearch/dino."""

    class DINOHead(torch.nn.Module):
        def __init__(self):
            super().__init__()
            widths = (64, 8, 8, 6)
            layers = [torch.nn.Linear(a, b) for a, b in zip(widths, widths[1:])]
            gelu = torch.nn.GELU
            self.mlp = torch.nn.Sequential(layers[0], gelu(), layers[1], gelu(), layers[2])
            self.last_layer = norm(torch.nn.Linear(6, 11, bias=False))
            for name, each in self.last_layer.named_parameters():
                if name.endswith(('_g', 'original0')):
                    each.data.fill_(1)

        def forward(self, x):
            return self.last_layer(torch.nn.functional.normalize(self.mlp(x), dim=-1))

    backbone = torch.load(small_timm(tmp_path / 'timm.pth', 224))
    del backbone['reg_token']
    torch.manual_seed(2)
    theirs = DINOHead()
    teacher = {f'backbone.{name}': x for name, x in backbone.items() if 'head.' not in name}
    teacher |= {f'head.{name}': x for name, x in theirs.state_dict().items()}
    torch.save(dict(teacher=teacher, student={}, epoch=1), tmp_path / 'dino.pth')
    options = {f'model.head.{key}': value for key, value in
               dict(num_prototypes=11, hidden_channels=8, out_channels=6).items()}  # fmt: skip
    cfg = cli.load_config('dino/vits_in100_200e.py', options)
    set_initial_backbone(cfg, str(tmp_path / 'dino.pth'))
    model, tokens = build(cfg), torch.randn(5, 64)
    assert torch.allclose(model.head(tokens), theirs(tokens), atol=1e-6)
    assert torch.allclose(model.teacher.head(tokens), theirs(tokens), atol=1e-6)


def test_registers_and_layer_scale_are_trained_on(tmp_path):
    cfg = cli.load_config('mmc/vits_folder.py', HEADS | {'model.momentum': 0.5})
    set_initial_backbone(cfg, small_timm(tmp_path / 'timm.pth', 224))
    model = build(cfg)
    names = ('registers', 'layers.0.attn.gamma1.weight', 'layers.1.ffn.gamma2.weight')
    before = {name: model.backbone.state_dict()[name].clone() for name in names}
    torch.manual_seed(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    mask = torch.zeros(2, 2, 224, 224, dtype=torch.bool)
    mask[..., :112] = True
    inputs = dict(views=torch.randn(2, 2, 3, 224, 224), mask=mask,
                  alien=torch.zeros(2, 2, dtype=torch.bool))  # fmt: skip
    sum(model.loss(inputs).values()).backward()
    optimizer.step()
    model.update_teacher(0.5)
    for name in names:
        student, teacher = (x.state_dict()[name] for x in (model.backbone, model.teacher.backbone))
        assert not torch.equal(student, before[name]), name
        assert torch.allclose(teacher, (before[name] + student) / 2, atol=1e-6), name


def test_the_key_of_the_config_and_of_the_command_line(tmp_path, photo_folder, capsys):
    source = small_timm(tmp_path / 'timm.pth')
    options = HEADS | {'train_dataloader.dataset.data_root': str(photo_folder)}
    cfg = training_config('mmc/continue_folder.py', options | {'init_from': source},
                          str(tmp_path / 'run'))  # fmt: skip
    assert cfg.model.backbone.checkpoint == source == cfg.init_from
    assert 'Student and teacher start with the backbone' in capsys.readouterr().out
    assert cfg.optim_wrapper.optimizer.lr == 1e-4 and cfg.model.momentum == 0.9995
    other = small_timm(tmp_path / 'other.pth')
    cfg = training_config('mmc/continue_folder.py', options | {'init_from': source},
                          str(tmp_path / 'run'), init_from=other)  # fmt: skip
    assert cfg.model.backbone.checkpoint == other == cfg.init_from
    with pytest.raises(InputError, match='init_from is 3: it must be the path of a checkpoint'):
        training_config('mmc/vits_folder.py', options | {'init_from': 3}, str(tmp_path / 'run'))
    with pytest.raises(FileNotFoundError, match=r'gone\.pth does not exist'):
        training_config('mmc/vits_folder.py', options | {'init_from': str(tmp_path / 'gone.pth')},
                        str(tmp_path / 'run'))  # fmt: skip
