"""The family of methods against formulas and against each other."""

import copy
import itertools

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS

from mmc_plugin.models.losses.self_distillation import cross_entropy, mean_entropy_gap, sinkhorn
from mmc_plugin.models.selfsup import lacking
from mmc_plugin.models.utils import corrupt

SIZE, PATCH, WIDTH, CELLS = 32, 8, 24, 16
ARCH = dict(embed_dims=WIDTH, num_layers=2, num_heads=2, feedforward_channels=48)
VIT = dict(type='PretrainedViT', arch=ARCH, img_size=SIZE, patch_size=PATCH, out_type='raw',
           frozen=False)  # fmt: skip
PROTOTYPES = dict(type='PrototypeHead', in_channels=WIDTH, num_prototypes=12, hidden_channels=16,
                  out_channels=8)  # fmt: skip
REC = dict(type='PixelReconstructionHead', in_channels=WIDTH, patch_size=PATCH, hidden_channels=24)
CONTRAST = dict(type='GlobalContrastHead', in_channels=WIDTH, hidden_channels=16, out_channels=8)
MSN_HEAD = dict(type='ProjectionMLP', in_channels=WIDTH, hidden_channels=16, out_channels=8,
                last_norm=False)  # fmt: skip
CONFIGS = dict(
    SiT=dict(type='SiT', rec_head=REC, cls_head=CONTRAST),
    DINO=dict(type='DINO', head=PROTOTYPES),
    IBOT=dict(type='IBOT', head=PROTOTYPES),
    MCSSL=dict(type='MCSSL', head=dict(PROTOTYPES, separate_patches=True),
               rec_head=dict(REC, squared=True)),
    MSN=dict(type='MSN', head=MSN_HEAD, num_prototypes=10),
)  # fmt: skip


def build(name: str, **kwargs) -> torch.nn.Module:
    torch.manual_seed(0)
    model = MODELS.build(CONFIGS[name] | dict(backbone=VIT) | kwargs)
    model.init_weights()
    with torch.no_grad():  # a teacher that differs from its student
        for each in model.teacher.parameters():
            each.add_(0.1 * torch.randn_like(each))
    return model.train()


def batch(images: int = 5, crops: int = 0, masked: float = 0.5) -> dict:
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(2, images, SIZE // PATCH, SIZE // PATCH, generator=generator) < masked
    inputs = dict(
        views=torch.randn(2, images, 3, SIZE, SIZE, generator=generator),
        mask=coarse.repeat_interleave(PATCH, -1).repeat_interleave(PATCH, -2),
        alien=torch.ones(2, images, dtype=torch.bool),
        keep=torch.stack(
            [torch.randperm(CELLS, generator=generator)[:11] for _ in range(2 * images)]
        )
        .unflatten(0, (2, images)),
    )  # fmt: skip
    if crops:
        inputs['crops'] = [torch.randn(crops, images, 3, 16, 16, generator=generator)]
    return inputs


METHODS = list(CONFIGS)


def losses(model, inputs) -> dict[str, torch.Tensor]:
    torch.manual_seed(2)
    return {key: each for key, each in model.loss(inputs).items() if key.startswith('loss')}


@pytest.mark.parametrize('name', METHODS)
def test_each_keeps_the_protocol_and_trains_the_student_alone(name):
    model = build(name)
    assert not lacking(model)
    before = copy.deepcopy(model.teacher.state_dict())
    sum(losses(model, batch()).values()).backward()
    assert all(each.grad is None for each in model.teacher.parameters())
    silent = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert silent == []
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    optimizer.step()
    for key, value in model.teacher.state_dict().items():
        if 'running' not in key and 'num_batches' not in key:
            assert torch.equal(value, before[key]), key
    student = {f'{n}.{k}': p for n in model.teacher.names
               for k, p in getattr(model, n).named_parameters()}  # fmt: skip
    model.update_teacher(0.9)
    for key, value in model.teacher.named_parameters():
        torch.testing.assert_close(value - before[key], 0.1 * (student[key] - before[key]),
                                   atol=1e-6, rtol=1e-5)  # fmt: skip


@pytest.mark.parametrize('name', METHODS)
def test_the_student_is_given_what_it_is_said_to_see(name):
    model, inputs = build(name), batch()
    given = {}
    model.backbone.register_forward_pre_hook(
        lambda module, args, kwargs: given.update(kwargs, views=args[0]), with_kwargs=True
    )
    losses(model, inputs)
    seen = model.seen(inputs)
    assert torch.equal(given['views'], seen.views.flatten(0, 1))
    if name == 'IBOT':
        assert seen.how == 'masked' and torch.equal(given['masked'], seen.hidden.flatten(0, 1))
    elif name == 'MSN':
        assert seen.how == 'dropped' and seen.hidden.shape == (1, 5, CELLS)
        for hidden in seen.hidden[0]:
            assert set((~hidden).nonzero()[:, 0].tolist()) == set(given['keep'].tolist())
    else:
        assert seen.hidden is None and seen.how == ('' if name == 'DINO' else 'zeros')


def same_gradients(one, other, loss, other_loss, tolerance: float) -> None:
    """All that ``one`` learns from its loss, ``other`` learns from its own."""
    loss.backward()
    other_loss.backward()
    theirs = dict(other.named_parameters())
    learned = {name: p.grad for name, p in one.named_parameters() if p.grad is not None}
    assert len(learned) > 20 and any(each.any() for each in learned.values())
    for name, gradient in learned.items():
        torch.testing.assert_close(
            theirs[name].grad, gradient, rtol=0, atol=tolerance, msg=lambda m, n=name: f'{n}: {m}'
        )


def test_sit_is_mmc_without_its_patch_loss_to_the_bit():
    sit = build('SiT', fill='noise', rec_weight=0.7)
    head = dict(type='PatchContrastHead', in_channels=WIDTH, hidden_channels=16, out_channels=8)
    torch.manual_seed(0)
    mmc = MODELS.build(
        dict(type='MMC', backbone=VIT, rec_head=REC, cls_head=CONTRAST, patch_head=head,
             loss_weights=dict(rec=0.7, patch=0.0, cls=4 * 0.2))
    )  # fmt: skip
    mmc.load_state_dict(sit.state_dict())
    inputs = batch()
    one, other = losses(sit, inputs), losses(mmc.train(), inputs)
    assert {key: each.item() for key, each in one.items()} == {
        key: each.item() for key, each in other.items()
    }
    same_gradients(sit, mmc, sum(one.values()), sum(other.values()), tolerance=0)


def slow_dino(model, inputs, masked=None) -> float:
    """Mean over pairs of views and over images, in float64, by loops."""
    with torch.no_grad():
        front = (
            dict(masked=masked.flatten(0, 1), mask_token=model.mask_token)
            if masked is not None
            else {}
        )
        tokens = model.backbone(inputs['views'].flatten(0, 1), **front)[-1][:, 0]
        student = [*model.head(tokens).unflatten(0, (2, -1)).double()]
        for crop in inputs['crops'][0] if 'crops' in inputs else []:
            student.append(model.head(model.backbone(crop)[-1][:, 0]).double())
        tokens = model.teacher.backbone(inputs['views'].flatten(0, 1))[-1][:, 0]
        teacher = model.teacher.head(tokens).unflatten(0, (2, -1)).double()
    center = model.centering.center.double()
    total, pairs = 0.0, 0
    for u, v in itertools.product(range(2), range(len(student))):
        if u == v:
            continue
        pairs += 1
        for b in range(len(teacher[u])):
            p = F.softmax((teacher[u][b] - center) / 0.04, 0)
            q = F.softmax(student[v][b] / 0.1, 0)
            total -= float((p * q.log()).sum()) / len(teacher[u])
    assert pairs == 2 * (len(student) - 1)
    return total / pairs


@pytest.mark.parametrize('crops', [0, 3])
def test_dino_against_its_pairs_and_its_centre(crops):
    model, inputs = build('DINO'), batch(crops=crops)
    model.centering.center.copy_(torch.linspace(-0.2, 0.2, 12))
    expected = slow_dino(model, inputs)
    with torch.no_grad():
        tokens = model.teacher.backbone(inputs['views'].flatten(0, 1))[-1][:, 0]
        mean = model.teacher.head(tokens).mean(0)
    center = 0.9 * model.centering.center + 0.1 * mean
    assert losses(model, inputs)['loss_cls'].item() == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(model.centering.center, center)


def test_ibot_that_hides_nothing_is_dino():
    ibot, inputs = build('IBOT'), batch(crops=2, masked=0.0)
    dino = build('DINO')
    dino.load_state_dict(ibot.state_dict(), strict=False)
    found = losses(ibot, inputs)
    assert found['loss_patch'].item() == 0
    expected = losses(dino, inputs)
    assert torch.equal(found['loss_cls'], expected['loss_cls'])
    assert torch.equal(ibot.centering.center, dino.centering.center)
    same_gradients(dino, ibot, expected['loss_cls'], sum(found.values()), tolerance=0)


def test_ibot_hides_patches_before_the_positions_and_from_the_student_alone():
    model, inputs = build('IBOT'), batch()
    torch.nn.init.normal_(model.mask_token)
    seen = {}
    student = model.backbone.layers[0]
    student.register_forward_pre_hook(lambda m, args: seen.setdefault('student', args[0]))
    model.teacher.backbone.layers[0].register_forward_pre_hook(
        lambda m, args: seen.setdefault('teacher', args[0])
    )
    found = losses(model, inputs)
    masked = inputs['mask'][:, :, ::8, ::8].flatten(2).flatten(0, 1)  # (V·B,N)
    positions = model.backbone.pos_embed[0, 1:]
    expected = (model.mask_token + positions).expand(len(masked), -1, -1)
    torch.testing.assert_close(seen['student'][:, 1:][masked], expected[masked])
    patches = model.backbone.patch_embed(inputs['views'].flatten(0, 1))[0] + positions
    torch.testing.assert_close(seen['student'][:, 1:][~masked], patches[~masked])
    clean = model.teacher.backbone.patch_embed(inputs['views'].flatten(0, 1))[0]
    clean = clean + model.teacher.backbone.pos_embed[0, 1:]
    torch.testing.assert_close(seen['teacher'][:, 1:], clean)
    expected = slow_dino(model_before(model), inputs, masked.unflatten(0, (2, -1)))
    assert found['loss_cls'].item() == pytest.approx(expected, rel=1e-5)


def model_before(model):
    """The model with the centre of its first step."""
    model.centering.center.zero_()
    return model


def test_ibot_with_an_all_ones_mask_and_gmml_in_place_of_its_token_is_mcssl():
    inputs = batch()
    mcssl = build('MCSSL')
    ibot = build('IBOT', head=dict(PROTOTYPES, separate_patches=True))
    ibot.load_state_dict(mcssl.state_dict(), strict=False)
    expected = losses(mcssl, inputs)
    corrupted = corrupt(inputs['views'], inputs['mask'], inputs['alien'], fill='zeros')
    encode = ibot.encode

    def gmml(backbone, images, masked=None, **front):  # the student sees the corrupted views
        return encode(backbone, corrupted if backbone is ibot.backbone else images)

    ibot.encode = gmml
    found = losses(ibot, dict(inputs, mask=torch.ones_like(inputs['mask'])))
    for key in ('loss_cls', 'loss_patch'):
        torch.testing.assert_close(found[key], expected[key], atol=1e-6, rtol=1e-6)
    for center in ('centering.center', 'patch_centering.center'):
        assert mcssl.get_buffer(center).any()
        torch.testing.assert_close(ibot.get_buffer(center), mcssl.get_buffer(center))
    without_pixels = expected['loss_cls'] + expected['loss_patch']
    same_gradients(mcssl, ibot, without_pixels, sum(found.values()), tolerance=1e-6)
    error = mcssl.rec_head.to_image(
        mcssl.rec_head(encode(mcssl.backbone, corrupted)[1].flatten(0, 1)), 32, 32
    ) - inputs['views'].flatten(0, 1)
    weight = inputs['mask'].flatten(0, 1)[:, None].expand_as(error)
    assert expected['loss_rec'].item() == pytest.approx(error[weight].square().mean().item(), 1e-5)


def test_msn_against_the_numbers_of_its_release():
    model = build('MSN', num_prototypes=4, head=dict(
        type='ProjectionMLP', in_channels=WIDTH, hidden_channels=16, out_channels=2,
        last_norm=False))  # fmt: skip
    with torch.no_grad():
        model.prototypes.copy_(torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0.6, 0.8]]))
    p = model.scores(torch.tensor([[1.0, 0], [0, 1], [1, 1]]))
    targets = model.scores(torch.tensor([[1.0, 0.2], [0.1, 1], [0.8, 1]]))
    targets = (targets / model.sharpening()).softmax(-1)
    found = [cross_entropy(p, t, 1.0).mean().item() for t in (targets, sinkhorn(targets))]
    assert found == pytest.approx([0.088429, 1.753093], abs=2e-6)
    assert mean_entropy_gap(p.softmax(-1)).item() == pytest.approx(0.288648, abs=2e-6)


def test_msn_drops_the_anchors_patches_by_the_first_images_draw():
    model, inputs = build('MSN'), batch(crops=1)
    shapes, firsts = [], []
    layer = model.backbone.layers[0]
    layer.register_forward_pre_hook(lambda m, args: shapes.append(args[0].shape[1]))
    layer.register_forward_pre_hook(lambda m, args: firsts.append(args[0].detach()))
    losses(model, inputs)
    assert shapes == [12, 5]  # class token and 11 patches; and a whole crop of 2×2
    with torch.no_grad():
        patches = (
            model.backbone.patch_embed(inputs['views'][1])[0] + model.backbone.pos_embed[:, 1:]
        )
    torch.testing.assert_close(firsts[0][:, 1:], patches[:, inputs['keep'][1, 0]])


def test_temperatures_rise_by_epochs_and_must_stay_below_the_students():
    model = build('DINO', teacher_temperature=(0.04, 0.07), warmup_epochs=30)
    values = []
    for epoch in (0, 1, 29, 30, 99):
        model.begin_epoch(epoch)
        values.append(model.teacher_temperature().item())
    assert values == pytest.approx([0.04, 0.04 + 0.03 / 29, 0.07, 0.07, 0.07])
    with pytest.raises(ValueError, match=r'model.teacher_temperature reaches 0.2, which is not'):
        build('DINO', teacher_temperature=(0.04, 0.2))
    with pytest.raises(ValueError, match='model.patch_temperature reaches 0.1, which is not'):
        build('IBOT', patch_temperature=0.1)
    with pytest.raises(ValueError, match='positive number, or two of them'):
        build('MSN', sharpening=(0.5, 0.0))


@pytest.mark.parametrize('name', ['IBOT', 'MSN'])
def test_a_backbone_that_cannot_hide_patches_is_refused(name):
    plain = {key: each for key, each in VIT.items() if key != 'frozen'}
    with pytest.raises(ValueError, match=r"set model.backbone.type='PretrainedViT'"):
        build(name, backbone=plain | dict(type='VisionTransformer'))


def test_temperatures_and_sharpening_do_not_cross_the_students():
    with pytest.raises(ValueError, match='model.sharpening reaches 1.5, which is not below 1,'):
        build('MSN', sharpening=(0.5, 1.5))


NAN = float('nan')


@pytest.mark.parametrize(
    'name, options, sentence',
    [
        ('DINO', dict(temperature=NAN), 'teacher_temperature reaches 0.07, .* not below nan'),
        *(
            ('DINO', dict(teacher_temperature=each), 'teacher_temperature is a positive number, or')
            for each in (NAN, 'x', None, True, (0.04, NAN), (), (0.04, 0.05, 0.06))
        ),
        ('DINO', dict(warmup_epochs=NAN), 'of at least 0; got .* and nan'),
        ('IBOT', dict(patch_temperature=NAN), 'model.patch_temperature is a positive number, or'),
        ('MSN', dict(sharpening=NAN), 'model.sharpening is a positive number, or two of them'),
        ('MSN', dict(temperature=NAN), 'a positive temperature, got 10 and nan'),
        ('MSN', dict(sinkhorn_rounds=-1), 'model.sinkhorn_rounds must be a number of at least 0'),
        ('MSN', dict(entropy_weight=-1.0), 'model.entropy_weight must be a number of at least 0'),
        ('SiT', dict(rec_weight=-1.0), 'model.rec_weight must be a number of at least 0, got -1'),
        ('SiT', dict(rec_weight=NAN), 'model.rec_weight must be a number of at least 0, got nan'),
        ('SiT', dict(fill='grey'), "fill must be 'noise' or 'zeros', not 'grey'"),
        ('MCSSL', dict(fill='grey'), "fill must be 'noise' or 'zeros', not 'grey'"),
        ('DINO', dict(head=MSN_HEAD), r"ProjectionMLP: set model.head.type='PrototypeHead'\."),
        ('MSN', dict(head=PROTOTYPES), r"PrototypeHead: set model.head.type='ProjectionMLP'\."),
    ],
)
def test_values_that_void_a_training_are_refused_when_it_is_built(name, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        build(name, **options)


@pytest.mark.parametrize(
    'name, key, maker',
    [('SiT', 'mask', 'GMMLMask or BlockMask'), ('SiT', 'alien', 'GMMLMask'),
     ('IBOT', 'mask', 'GMMLMask or BlockMask'), ('MCSSL', 'alien', 'GMMLMask'),
     ('MSN', 'keep', 'PatchDrop')],
)  # fmt: skip
def test_a_pipeline_without_the_methods_transform_is_refused(name, key, maker):
    inputs = batch()
    del inputs[key]
    with pytest.raises(ValueError, match=f"{name} needs '{key}' of each image: put {maker} before"):
        build(name).loss(inputs)


def test_local_crops_are_refused_where_the_method_takes_none():
    with pytest.raises(ValueError, match='SiT takes no local crops, but the pipeline makes some'):
        build('SiT').loss(batch(crops=2))


def with_views(inputs, number) -> dict:
    """The batch with other than two views of each image."""
    of_views = {key: each for key, each in inputs.items() if key != 'crops'}
    return inputs | {key: each[[0, 1, 0][:number]] for key, each in of_views.items()}


@pytest.mark.parametrize('name', METHODS)
def test_one_view_is_refused_where_views_are_crossed(name):
    least = 'at least 2' if name in ('DINO', 'IBOT', 'MCSSL') else '2'
    with pytest.raises(ValueError, match=f'{name} needs {least} views of each image and gets 1'):
        build(name).loss(with_views(batch(), 1))


@pytest.mark.parametrize('name', ['DINO', 'IBOT', 'MCSSL'])
def test_one_view_will_do_with_local_crops_and_so_will_three_views(name):
    for inputs in (with_views(batch(crops=2), 1), with_views(batch(), 3)):
        assert all(each.isfinite() for each in losses(build(name), inputs).values())


@pytest.mark.parametrize('name', ['SiT', 'MSN'])
def test_a_third_view_is_refused_where_nothing_would_read_it(name):
    with pytest.raises(ValueError, match=f'{name} needs 2 views of each image and gets 3'):
        build(name).loss(with_views(batch(), 3))
