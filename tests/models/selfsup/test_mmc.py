"""MMC against the formulas of arXiv 2308.11448 §3, assembled slowly from its own tokens."""

import copy
import itertools
import math

import pytest
import torch
from mmpretrain.registry import MODELS

from mmc_plugin.models.utils import corrupt

from .test_overfitting import least, overfit

SIZE, PATCH, WIDTH = 32, 8, 24


def config(norm=dict(type='BN1d'), drop_path=0.0, **kwargs) -> dict:
    arch = dict(embed_dims=WIDTH, num_layers=2, num_heads=2, feedforward_channels=48)
    head = dict(in_channels=WIDTH, hidden_channels=32, out_channels=16, norm_cfg=norm)
    return dict(
        type='MMC',
        backbone=dict(type='VisionTransformer', arch=arch, img_size=SIZE, patch_size=PATCH,
                      drop_path_rate=drop_path, out_type='raw'),
        rec_head=dict(type='PixelReconstructionHead', in_channels=WIDTH, patch_size=PATCH,
                      hidden_channels=32),
        patch_head=dict(type='PatchContrastHead', **head),
        cls_head=dict(type='GlobalContrastHead', **head),
    ) | kwargs  # fmt: skip


def build(**kwargs) -> torch.nn.Module:
    torch.manual_seed(0)
    model = MODELS.build(config(**kwargs))
    model.init_weights()
    with torch.no_grad():  # a teacher that differs from its student
        for p in model.teacher.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return model.train()


def batch(images: int = 5, crops: int = 0) -> dict:
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(2, images, SIZE // PATCH, SIZE // PATCH, generator=generator) < 0.5
    inputs = dict(
        views=torch.randn(2, images, 3, SIZE, SIZE, generator=generator),
        mask=coarse.repeat_interleave(PATCH, -1).repeat_interleave(PATCH, -2),
        alien=torch.ones(2, images, dtype=torch.bool),
    )
    if crops:
        inputs['crops'] = torch.randn(crops, images, 3, 16, 16, generator=generator)
    return inputs


def slow_info_nce(q, k, positive, same_image, tau=0.2):
    """Mean over the rows of q; ``positive[i]``: row of k; ``same_image(i, j)``: left out."""
    total = 0.0
    for i in range(len(q)):
        terms = {
            j: math.exp(float(q[i].double() @ k[j].double()) / tau)
            for j in range(len(k))
            if j == positive[i] or not same_image(i, j)
        }
        total -= math.log(terms[positive[i]] / sum(terms.values()))
    return total / len(q)


@pytest.mark.parametrize('crops', [0, 3])
def test_losses_against_the_formulas(crops):
    model, inputs = build(), batch(crops=crops)
    with torch.no_grad():
        losses = copy.deepcopy(model).loss(inputs)
        views, mask = inputs['views'], inputs['mask']
        corrupted = corrupt(views, mask, inputs['alien'])
        tokens_s = [model.backbone(view)[-1] for view in corrupted]
        tokens_t = [model.teacher.backbone(view)[-1] for view in views]
        patches = tokens_s[0].shape[1] - 1

        images = [model.rec_head.to_image(model.rec_head(t[:, 1:]), SIZE, SIZE) for t in tokens_s]
        error = sum(
            ((image - view).abs() * m[:, None]).sum() for image, view, m in zip(images, views, mask)
        )
        assert float(losses['loss_rec']) == pytest.approx(float(error / (3 * mask.sum())), rel=1e-5)

        values = [
            slow_patch_loss(model, s, t, range(len(s) * patches))
            for s, t in zip(tokens_s, tokens_t)
        ]
        assert float(losses['loss_patch']) == pytest.approx(sum(values) / 2, rel=1e-5)

        queries = [model.cls_head(s[:, 0]) for s in tokens_s]
        keys = [model.teacher.cls_head(t[:, 0]) for t in tokens_t]
        pairs = [(queries[0], keys[1]), (queries[1], keys[0])]
        if crops:
            local = model.backbone(inputs['crops'].flatten(0, 1))[-1][:, 0]
            local = model.cls_head(local.unflatten(0, (crops, -1)))
            pairs += list(itertools.product(local, keys))
        values = [slow_info_nce(q, k, range(len(q)), lambda i, j: False) for q, k in pairs]
        assert float(losses['loss_cls']) == pytest.approx(sum(values) / len(values), rel=1e-5)


def slow_patch_loss(model, student, teacher, places):
    """L_patch of one view; ``places`` are the patches, image after image, that are queries."""
    places, patches = list(places), student.shape[1] - 1
    q = model.patch_head(student[:, 1:].flatten(0, 1)[places])
    k = model.teacher.patch_head(teacher[:, 1:]).flatten(0, 1)
    return slow_info_nce(q, k, places, lambda i, j: places[i] // patches == j // patches)


def test_masked_queries_are_those_of_corrupted_patches_alone():
    model, inputs = build(), batch()
    model.patch_head.queries = 'masked'
    with torch.no_grad():
        losses = copy.deepcopy(model).loss(inputs)
        corrupted = corrupt(inputs['views'], inputs['mask'], inputs['alien'])
        values = [
            slow_patch_loss(
                model,
                model.backbone(image)[-1],
                model.teacher.backbone(view)[-1],
                mask[:, ::PATCH, ::PATCH].flatten().nonzero().flatten().tolist(),
            )
            for image, view, mask in zip(corrupted, inputs['views'], inputs['mask'])
        ]
    assert float(losses['loss_patch']) == pytest.approx(sum(values) / 2, rel=1e-5)


def test_permuting_images_changes_no_loss():
    # alien fills look at the neighbour in the batch, so corrupt nothing but with fixed noise
    model, inputs = build(norm=None), batch()
    inputs['mask'] = torch.zeros_like(inputs['mask'])
    order = torch.tensor([3, 0, 4, 1, 2])
    permuted = {key: value[:, order] for key, value in inputs.items()}
    first, second = model.loss(inputs), model.loss(permuted)
    for name in ('loss_patch', 'loss_cls'):
        torch.testing.assert_close(first[name], second[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('weights', list(itertools.product([0, 1], repeat=3))[1:])
def test_weight_zero_builds_no_head_and_no_graph(weights):
    names = ('rec', 'cls', 'patch')
    chosen = dict(zip(names, map(float, weights)))
    model = build(loss_weights=chosen)
    losses = model.loss(batch())
    assert set(losses) == {f'loss_{name}' for name in names if chosen[name]}
    for name in names:
        assert (getattr(model, f'{name}_head') is not None) == bool(chosen[name])
    sum(losses.values()).backward()
    unused = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not unused  # DistributedDataParallel would hang or fail on them


def test_reconstruction_alone_runs_no_teacher():
    model = build(loss_weights=dict(patch=0.0, cls=0.0))
    model.teacher.backbone.register_forward_hook(lambda *_: pytest.fail('teacher ran'))
    model.loss(batch())['loss_rec'].backward()


def test_weights_scale_the_losses():
    inputs = batch()
    ones, scaled = build(), build(loss_weights=dict(rec=2.0, patch=0.5, cls=3.0))
    factors = dict(loss_rec=2.0, loss_patch=0.5, loss_cls=3.0)
    first, second = ones.loss(inputs), scaled.loss(inputs)
    for name, factor in factors.items():
        torch.testing.assert_close(second[name], factor * first[name])


def test_gradient_reaches_the_student_only():
    model = build()
    sum(model.loss(batch()).values()).backward()
    assert all(p.grad is None for p in model.teacher.parameters())
    assert all(p.grad is not None for n, p in model.named_parameters() if 'teacher' not in n)


def test_teacher_starts_as_the_student_and_moves():
    torch.manual_seed(0)
    model = MODELS.build(config())
    model.init_weights()
    student = dict(model.backbone.named_parameters())
    for name, p in model.teacher.backbone.named_parameters():
        assert torch.equal(p, student[name])
    with torch.no_grad():
        for p in student.values():
            p.add_(1.0)
    before = {n: p.clone() for n, p in model.teacher.backbone.named_parameters()}
    model.update_teacher(0.75)
    for name, p in model.teacher.backbone.named_parameters():
        torch.testing.assert_close(p, 0.75 * before[name] + 0.25 * student[name])


def test_extract_feat_and_other_sizes():
    model = build().eval()
    images = torch.randn(2, 3, 48, 64)
    cls, patch = model.extract_feat(images)
    assert cls.shape == (2, WIDTH) and patch.shape == (2, 48, WIDTH)
    tokens = model.teacher.backbone(images)[-1]
    assert torch.equal(cls, tokens[:, 0]) and torch.equal(patch, tokens[:, 1:])
    assert not torch.equal(cls, model.extract_feat(images, network='student')[0])
    with pytest.raises(ValueError, match="'teacher' or 'student'"):
        model.extract_feat(images, network='both')


def test_reconstruct_gives_images_or_says_why_not():
    model = build()
    images = torch.randn(2, 3, SIZE, SIZE)
    assert model.reconstruct_layers(images, [-1]).shape == (1, 2, 3, SIZE, SIZE)
    with pytest.raises(ValueError, match='no reconstruction head'):
        build(loss_weights=dict(rec=0.0)).reconstruct_layers(images, [-1])


@pytest.mark.parametrize(
    'change, sentence',
    [
        (dict(loss_weights=dict(rec=-1.0)), 'must not be negative'),
        (dict(loss_weights=dict(rec=0.0, patch=0.0, cls=0.0)), 'not all 0'),
        (dict(loss_weights=dict(pixel=1.0)), 'not pixel'),
        (dict(backbone=config()['backbone'] | dict(out_type='featmap')), "out_type='raw'"),
        (dict(cls_head=config()['cls_head'] | dict(in_channels=99)), 'model.cls_head.in_channels'),
        (dict(rec_head=config()['rec_head'] | dict(patch_size=4)), 'rec_head.patch_size is 4'),
    ],
)
def test_bad_config_is_refused(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        MODELS.build(config(**change))


def test_student_and_teacher_run_once_over_both_views():
    model = build()
    calls = []
    model.backbone.register_forward_hook(lambda *_: calls.append('student'))
    model.teacher.backbone.register_forward_hook(lambda *_: calls.append('teacher'))
    model.loss(batch())
    assert sorted(calls) == ['student', 'teacher']


def test_one_view_is_refused_by_the_class_loss_alone():
    inputs = {key: each[:1] for key, each in batch().items()}
    with pytest.raises(ValueError, match='MMC needs at least 2 views of each image and gets 1'):
        build().loss(inputs)
    losses = build(loss_weights=dict(cls=0.0)).loss(inputs)
    losses |= build(loss_weights=dict(rec=0.0, patch=0.0)).loss(batch(crops=1) | inputs)
    assert min(losses.values()) > 0


@pytest.mark.parametrize('name', ['cls', 'patch'])
def test_four_images_are_learned_down_to_the_least_contrast(name):
    model, inputs = build(norm=dict(type='LN')).eval(), batch(images=4)
    inputs['views'][1] = inputs['views'][0]  # so that each student's view has one target
    with torch.no_grad():
        cls, patches = model.encode(model.teacher.backbone, inputs['views'][0])
        keys = model.teacher.cls_head(cls) if name == 'cls' else model.teacher.patch_head(patches)
    if name == 'cls':
        lowest = least(lambda queries: model.cls_head.loss(queries, keys), 1, 4, 16)
    else:
        lowest = least(lambda queries: model.patch_head.loss(queries, keys, None), 4 * 16, 16)
    out = overfit(model, inputs, f'loss_{name}', 500)
    assert lowest - 1e-3 <= out[f'loss_{name}'].item() < lowest + 0.05
