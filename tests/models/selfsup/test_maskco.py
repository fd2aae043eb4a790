"""MaskCo-style contrast of regions against MoCo's loss and a loop."""

import math

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS

from mmc_plugin.models.selfsup import lacking
from mmc_plugin.models.selfsup.maskco import box_iou, region_contrast

from .test_overfitting import least_contrast, overfit

WIDTH, SIZE = 24, 32
ARCH = dict(embed_dims=WIDTH, num_layers=2, num_heads=2, feedforward_channels=48)
VIT = dict(type='PretrainedViT', arch=ARCH, img_size=SIZE, patch_size=8, out_type='raw',
           frozen=False)  # fmt: skip
PLAIN = {key: each for key, each in VIT.items() if key != 'frozen'} | dict(type='VisionTransformer')
HEAD = dict(type='ProjectionMLP', in_channels=WIDTH, hidden_channels=16, out_channels=8)
MASK_HEAD = dict(type='MaskPredictionHead', in_channels=WIDTH, num_heads=2)


def build(**kwargs):
    torch.manual_seed(0)
    cfg = dict(type='MaskCo', backbone=VIT, head=HEAD, mask_head=MASK_HEAD, queue_length=6, bins=4)
    model = MODELS.build(cfg | kwargs)
    model.init_weights()
    return model.train()


def inputs(regions):
    torch.manual_seed(1)
    views = torch.randn(2, 4, 3, SIZE, SIZE)
    return dict(views=views, regions=torch.as_tensor(regions).expand(2, 4, -1, 4))


def test_the_whole_view_without_mask_is_mocos_loss_on_mean_features():
    model = build(mask_head=None)
    data = inputs([[0.0, 0, SIZE, SIZE]])
    queue = model.queue.rows.clone()
    with torch.no_grad():
        means = [
            net(view)[-1][:, 1:].mean(1)
            for net, view in zip(
                (model.backbone, model.teacher.backbone), data['views'], strict=True
            )
        ]
        q, k = model.head(means[0]), model.teacher.head(means[1])  # fmt: skip
    logits = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.T], 1) / 0.2
    expected = F.cross_entropy(logits, torch.zeros(4, dtype=torch.long))
    torch.testing.assert_close(model.loss(data)['loss_region'], expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model.queue.rows[:4], k, atol=1e-5, rtol=1e-5)


def test_other_regions_are_negatives_unless_they_overlap():
    model = build()
    boxes = torch.tensor([[0.0, 0, 16, 16], [16, 16, 32, 32], [0, 0, 20, 20]])
    data = inputs(boxes)
    data['mask'] = torch.zeros(2, 4, SIZE, SIZE, dtype=torch.bool)
    data['mask'][0, :, :16, :16] = True
    torch.nn.init.normal_(model.mask_token)
    queue = model.queue.rows.clone()
    with torch.no_grad():
        masked = data['mask'][0, :, ::8, ::8].flatten(1)
        tokens = model.backbone(data['views'][0], masked, model.mask_token)[-1][:, 1:]
        q = model.head(model.pool(model.mask_head(tokens), data['regions'][0, :, :1] / 32,
                                  data['views'][0]))[:, 0]  # fmt: skip
        tokens = model.teacher.backbone(data['views'][1])[-1][:, 1:]
        k = model.teacher.head(model.pool(tokens, data['regions'][1] / 32, data['views'][1]))
    total = 0.0
    for b in range(4):
        positive = math.exp(float(q[b] @ k[b, 0]) / 0.2)
        negatives = [math.exp(float(q[b] @ each) / 0.2) for each in (*queue, k[b, 1])]
        total -= math.log(positive / (positive + sum(negatives))) / 4
    assert model.loss(data)['loss_region'].item() == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize('masked', [True, False])
def test_all_of_the_student_learns_and_the_teacher_follows_backbone_and_head(masked):
    model = build()
    data = inputs([[0.0, 0, 16, 16], [16, 16, 32, 32]])
    if masked:
        data['mask'] = torch.ones(2, 4, SIZE, SIZE, dtype=torch.bool)
    model.loss(data)['loss_region'].backward()
    assert not lacking(model)
    assert [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None] == []
    assert set(dict(model.teacher.named_children())) == {'backbone', 'head'}


def test_the_contrast_is_that_of_float32_under_autocast():
    torch.manual_seed(0)
    rows = [F.normalize(torch.randn(shape), dim=-1) for shape in ((4, 8), (4, 2, 8), (6, 8))]
    near = torch.tensor([[True, False]] * 4)
    expected = region_contrast(*rows[:2], near, rows[2], 0.2)
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(region_contrast(*rows[:2], near, rows[2], 0.2), expected)


def test_iou_by_hand():
    one = torch.tensor([0.0, 0, 2, 2])
    others = torch.tensor([[0.0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 6, 6]])
    torch.testing.assert_close(box_iou(one, others), torch.tensor([1.0, 1 / 7, 0.0]))


@pytest.mark.parametrize(
    'options, sentence',
    [
        (dict(temperature=0.0), 'MaskCo needs a positive temperature'),
        (dict(temperature=float('nan')), 'MaskCo needs a positive temperature'),
        (dict(mask_head=dict(MASK_HEAD, in_channels=30)), 'model.mask_head.in_channels is 30, but'),
        (dict(mask_head=dict(MASK_HEAD, num_heads=5)), 'must divide in_channels=24, which 5 does'),
        (
            dict(head=dict(type='PrototypeHead', in_channels=WIDTH, num_prototypes=3)),
            "MaskCo cannot use a head of type PrototypeHead: set model.head.type='ProjectionMLP'",
        ),
        (dict(max_iou=1.5), r'max_iou in \[0, 1\], got 0.2, 4 and 1.5'),
        (dict(backbone=PLAIN), r"MaskCo hides patches .* model.backbone.type='PretrainedViT'"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        build(**options)


def test_batches_that_it_cannot_use_are_refused_in_a_sentence():
    model, data = build(), inputs([[0.0, 0, 16, 16]])
    with pytest.raises(ValueError, match='MaskCo takes no local crops'):
        model.loss(dict(data, crops=[data['views']]))
    for found in (1, 3):
        with pytest.raises(ValueError, match=f'needs 2 views of each image and gets {found}'):
            model.loss(dict(data, views=data['views'][[0, 1, 0][:found]]))
    del data['regions']
    with pytest.raises(ValueError, match="MaskCo needs 'regions' of each image: put RegionViews"):
        model.loss(data)


def test_four_images_are_learned_down_to_the_best_of_all_queries():
    model = build().eval()  # without batch statistics
    data = inputs([[0.0, 0, 16, 16], [16, 16, 32, 32]])
    data['mask'] = torch.zeros(2, 4, SIZE, SIZE, dtype=torch.bool)
    data['mask'][0, :, :16, :16] = True
    queue = model.queue.rows.clone()
    with torch.no_grad():
        tokens = model.teacher.backbone(data['views'][1])[-1][:, 1:]
        keys = model.teacher.head(model.pool(tokens, data['regions'][1] / SIZE, data['views'][1]))
    near = torch.tensor([[True, False]]).expand(4, 2)

    def logits(query):
        others = (query[:, None] * keys).sum(-1)
        return torch.cat([others[:, :1], query @ queue.T, others[:, 1:]], 1) / 0.2

    least = least_contrast(logits)
    assert region_contrast(keys[:, 0], keys, near, queue, 0.2).item() > least  # keys are no best
    out = overfit(model, data, 'loss_region', still=lambda: model.queue.rows.copy_(queue))
    assert least - 1e-4 <= out['loss_region'].item() < least + 0.02
