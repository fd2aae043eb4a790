"""Training in two processes has the gradients of one process with the whole batch.

Two gloo processes run this file as a script and work through all cases; the tests compare what
they leave with what one process computes. Batch norm is left out: it looks at the local batch.
"""

import sys

import pytest
import torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel
from mmpretrain.registry import MODELS

import mmc_plugin  # noqa: F401  registers the model
from mmc_plugin.engine import cli
from mmc_plugin.models.utils import corrupt, patch_mask

WORLD, LOCAL = 2, 3  # processes, images of each
SIZE, PATCH, WIDTH, TAU = 32, 8, 24, 0.2
MOMENTUM, LR = 0.9, 0.5
CASES = {
    f'{"gathered" if gather else "local"}-{queries}-{norm}': dict(
        gather_keys=gather, queries=queries, norm=norm
    )
    for gather in (True, False)
    for queries, norm in (('all', 'LN'), ('masked', None))
}


LN = dict(norm_cfg=dict(type='LN'))
ARCH = dict(embed_dims=WIDTH, num_layers=2, num_heads=2, feedforward_channels=48)
REC = dict(type='PixelReconstructionHead', in_channels=WIDTH, patch_size=PATCH, hidden_channels=32)
PROTOTYPES = dict(
    type='PrototypeHead', in_channels=WIDTH, num_prototypes=12, hidden_channels=32, out_channels=16
)
PROJECTION = dict(in_channels=WIDTH, hidden_channels=32, out_channels=16, **LN)
FAMILY = dict(
    SiT=dict(rec_head=REC, cls_head=dict(type='GlobalContrastHead', **PROJECTION)),
    DINO=dict(head=PROTOTYPES),
    IBOT=dict(head=PROTOTYPES),
    MCSSL=dict(head=dict(PROTOTYPES, separate_patches=True), rec_head=REC),
    MSN=dict(head=dict(type='ProjectionMLP', last_norm=False, **PROJECTION), num_prototypes=10),
    MaskCo=dict(
        head=dict(type='ProjectionMLP', **PROJECTION),
        mask_head=dict(type='MaskPredictionHead', in_channels=WIDTH, num_heads=2),
        queue_length=9,
        bins=2,
    ),
)
ALL = [*CASES, *FAMILY]


def make(name):
    """The model of a case, or one of the family."""
    if name in CASES:
        return build(**CASES[name])
    torch.manual_seed(0)
    vit = dict(type='PretrainedViT', arch=ARCH, img_size=SIZE, patch_size=PATCH, out_type='raw',
               frozen=False)  # fmt: skip
    model = MODELS.build(dict(type=name, backbone=vit, **FAMILY[name]))
    return settle(model)


def build(gather_keys, queries, norm):
    """The same model in every process, with a teacher that differs from its student."""
    torch.manual_seed(0)
    arch = dict(embed_dims=WIDTH, num_layers=2, num_heads=2, feedforward_channels=48)
    head = dict(
        in_channels=WIDTH,
        hidden_channels=32,
        out_channels=16,
        temperature=TAU,
        norm_cfg=None if norm is None else dict(type=norm),
    )
    cfg = dict(
        type='MMC',
        backbone=dict(
            type='VisionTransformer',
            arch=arch,
            img_size=SIZE,
            patch_size=PATCH,
            out_type='raw',
        ),
        rec_head=dict(
            type='PixelReconstructionHead',
            in_channels=WIDTH,
            patch_size=PATCH,
            hidden_channels=32,
        ),
        patch_head=dict(type='PatchContrastHead', queries=queries, gather_keys=gather_keys, **head),
        cls_head=dict(type='GlobalContrastHead', **head),
    )
    return settle(MODELS.build(cfg))


def settle(model):
    """Weights away from the start, where all embeddings look alike."""
    model.init_weights()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.2 * torch.randn_like(p))
    return model.train()


def whole_batch(name='MMC'):
    """Inputs of ``loss`` for all images; process r has images r * LOCAL to (r + 1) * LOCAL - 1.

    A corrupted region is filled with the neighbour in the batch at hand, so the first image of
    each process sees the last one of that process here and the last one of the other process
    there. Those two are made equal wherever a first image is corrupted: the fills are then the
    same in both layouts, while all images differ.
    """
    images = WORLD * LOCAL
    generator = torch.Generator().manual_seed(1)
    views = torch.randn(2, images, 3, SIZE, SIZE, generator=generator)
    # The second process has about three times as many corrupted patches as the first.
    ratio = torch.tensor([0.25] * LOCAL + [0.75] * LOCAL).view(1, images, 1, 1)
    coarse = torch.rand(2, images, SIZE // PATCH, SIZE // PATCH, generator=generator) < ratio
    mask = coarse.repeat_interleave(PATCH, -1).repeat_interleave(PATCH, -2)
    first, last = slice(0, images, LOCAL), slice(LOCAL - 1, images, LOCAL)
    looked_at = mask[:, first].any(1)[:, None, None]  # (V,1,1,H,W)
    views[:, last] = torch.where(looked_at, views[:, LOCAL - 1 : LOCAL], views[:, last])
    crops = torch.randn(2, images, 3, 16, 16, generator=generator)
    corners = SIZE // 2 * torch.rand(2, images, 3, 2, generator=generator)
    regions = torch.cat([corners, corners + 12], -1)
    return dict(
        views=views,
        mask=mask,
        alien=torch.ones(2, images, dtype=torch.bool),
        **({} if name in ('SiT', 'MaskCo') else dict(crops=crops)),
        regions=regions,
        keep=torch.randperm(16, generator=generator)[:11].expand(2, images, -1),
    )


def learn(model, losses):
    """Backward, a plain gradient step and the teacher's move; what all that leaves."""
    losses = {name: each for name, each in losses.items() if 'loss' in name}
    sum(losses.values()).backward()
    student = {n: p for n, p in model.named_parameters() if p.requires_grad}
    grads = {n: p.grad.clone() for n, p in student.items()}
    torch.optim.SGD(student.values(), lr=LR).step()
    model.update_teacher(MOMENTUM)
    return dict(
        losses={name: loss.detach() for name, loss in losses.items()},
        grads=grads,
        teacher={n: p.clone() for n, p in model.teacher.named_parameters()},
        centers={n: b.clone() for n, b in model.named_buffers() if n.endswith('center')},
        queue={n: b.clone() for n, b in model.named_buffers() if n.startswith('queue')},
    )


def work(rank, folder):
    """What one process computes; its results go to ``folder``."""
    torch.set_num_threads(1)
    dist.init_process_group('gloo', f'file://{folder}/store', rank=rank, world_size=WORLD)
    own = slice(rank * LOCAL, (rank + 1) * LOCAL)
    out = {}
    for name in ALL:
        inputs = {key: value[:, own] for key, value in whole_batch(name).items()}
        wrapped = MMDistributedDataParallel(make(name))
        out[name] = learn(wrapped.module, wrapped(inputs, mode='loss'))
    torch.save(out, f'{folder}/{rank}.pt')
    cli.end_launch()


def patch_loss(model, inputs, gather_keys, queries):
    """L_patch from the full matrix of logits; ``gather_keys=False``: negatives of the process."""
    corrupted = corrupt(inputs['views'], inputs['mask'], inputs['alien'])
    chosen = patch_mask(inputs['mask'], PATCH).flatten(1)  # (V, B*N)
    terms = []
    for dirty, clean, use in zip(corrupted, inputs['views'], chosen):
        q = model.patch_head(model.backbone(dirty)[-1][:, 1:]).flatten(0, 1)
        with torch.no_grad():
            k = model.teacher.patch_head(model.teacher.backbone(clean)[-1][:, 1:]).flatten(0, 1)
        image = torch.arange(len(q)) // (len(q) // len(dirty))
        process = image // LOCAL
        allowed = image[:, None] != image
        if not gather_keys:
            allowed &= process[:, None] == process
        allowed |= torch.eye(len(q), dtype=torch.bool)
        logits = (q @ k.t() / TAU).masked_fill(~allowed, float('-inf'))
        losses = -logits.log_softmax(1).diagonal()
        terms.append(losses.mean() if queries == 'all' else losses[use].mean())
    return sum(terms) / len(terms)


@pytest.fixture(scope='module')
def results(fork_server, tmp_path_factory):
    """What each process leaves."""
    folder = tmp_path_factory.mktemp('gloo')
    fork_server.run_ranks(__file__, [], folder)
    return [torch.load(folder / f'{rank}.pt', weights_only=True) for rank in range(WORLD)]


@pytest.fixture(scope='module')
def expected():
    """What one process with the whole batch computes."""
    out = {}
    for name in ALL:
        model, inputs = make(name), whole_batch(name)
        losses = model.loss(inputs)
        case = CASES.get(name, dict(gather_keys=True))
        if not case['gather_keys']:
            options = dict(gather_keys=False, queries=case['queries'])
            losses['loss_patch'] = patch_loss(model, inputs, **options)
        out[name] = learn(model, losses)
    return out


def relative_error(mine, theirs):
    """Largest error of a tensor in ``mine``, relative to the largest entry of its counterpart."""
    assert mine.keys() == theirs.keys()
    return max(
        float((mine[name] - theirs[name]).abs().max() / theirs[name].abs().max().clamp(min=1e-6))
        for name in mine
    )


def test_the_cases_can_tell_the_layouts_apart():
    inputs = whole_batch()
    masked = inputs['mask'].unflatten(1, (WORLD, LOCAL)).sum((0, 2, 3, 4))
    assert masked[1] > 2 * masked[0] > 0
    everyone = corrupt(inputs['views'], inputs['mask'], inputs['alien'])
    for rank in range(WORLD):
        own = slice(rank * LOCAL, (rank + 1) * LOCAL)
        alone = corrupt(*(inputs[key][:, own] for key in ('views', 'mask', 'alien')))
        assert torch.equal(alone, everyone[:, own])


def test_local_and_gathered_negatives_give_different_gradients(expected):
    for queries in ('all-LN', 'masked-None'):
        local, gathered = (expected[f'{kind}-{queries}']['grads'] for kind in ('local', 'gathered'))
        assert relative_error(local, gathered) > 0.05


@pytest.mark.parametrize('name', [name for name in CASES if name.startswith('gathered')])
def test_the_slow_patch_loss_is_that_of_one_process(name, expected):
    case = CASES[name]
    value = patch_loss(build(**case), whole_batch(), True, case['queries'])
    torch.testing.assert_close(value.detach(), expected[name]['losses']['loss_patch'])


@pytest.mark.parametrize('name', ALL)
def test_losses_average_to_those_of_the_whole_batch(name, results, expected):
    for loss, value in expected[name]['losses'].items():
        average = sum(result[name]['losses'][loss] for result in results) / WORLD
        torch.testing.assert_close(average, value, rtol=1e-5, atol=1e-6, msg=loss)


@pytest.mark.parametrize('name', ALL)
def test_gradients_are_those_of_the_whole_batch(name, results, expected):
    wanted = dict(expected[name]['grads'])
    if name == 'MSN':  # summed over processes
        wanted['prototypes'] = WORLD * wanted['prototypes']
    for result in results:
        assert relative_error(result[name]['grads'], wanted) < 1e-4


@pytest.mark.parametrize('name', ['DINO', 'IBOT', 'MCSSL'])
def test_centres_are_those_of_the_whole_batch(name, results, expected):
    centers = expected[name]['centers']
    assert len(centers) == (1 if name == 'DINO' else 2)
    for result in results:
        for key, value in centers.items():
            assert value.abs().max() > 1e-3
            torch.testing.assert_close(result[name]['centers'][key], value, rtol=1e-5, atol=1e-6)


def test_the_queue_is_that_of_the_whole_batch(results, expected):
    queue = expected['MaskCo']['queue']
    assert queue['queue.place'].item() == WORLD * LOCAL
    for result in results:
        for key, value in queue.items():
            torch.testing.assert_close(result['MaskCo']['queue'][key], value, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize('name', ALL)
def test_teachers_stay_equal_and_equal_to_that_of_one_process(name, results, expected):
    first, second = (result[name]['teacher'] for result in results)
    for key, value in first.items():
        assert torch.equal(value, second[key]), key
        torch.testing.assert_close(value, expected[name]['teacher'][key], rtol=1e-5, atol=1e-6)
    start = dict(make(name).teacher.named_parameters())
    assert any(not torch.equal(value, start[key]) for key, value in first.items())


if __name__ == '__main__':
    work(int(sys.argv[1]), sys.argv[2])
