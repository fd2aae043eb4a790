"""Attentive probing against attention written out in float64."""

import sys

import pytest
import torch
import torch.distributed as dist
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

import mmc_plugin  # noqa: F401  registers

WIDTH, HEADS, CLASSES = 24, 12, 3


def build(**more):
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    head = MODELS.build(
        dict(type='AttentiveClsHead', num_classes=CLASSES, embed_dims=WIDTH, **more)
    )
    head.init_weights()
    return head


def draw(batch, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(batch, 7, WIDTH, generator=generator) + 1


def stir(head):
    """Weights as after a training, those that start at 0 or 1 too."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in head.parameters():
            value += 0.3 * torch.randn(value.shape, generator=generator)
    head.norm.running_mean += torch.randn(WIDTH, generator=generator)
    head.norm.running_var *= 1 + torch.rand(WIDTH, generator=generator)
    return head


def layer_norm(x, norm):
    centred = x - x.mean(-1, keepdim=True)
    x = centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    return x * norm.weight + norm.bias


def slow_pooled(head, tokens):
    """What the query gathers from each image (B, D), in float64, without a bias of the keys."""
    to_q, to_k, to_v = head.attention.in_proj_weight.split(WIDTH)
    q_bias, _, v_bias = head.attention.in_proj_bias.split(WIDTH)
    query = layer_norm(head.query[0, 0], head.query_norm) @ to_q.T + q_bias
    rows = []
    for image in tokens:
        keys = layer_norm(image, head.key_norm) @ to_k.T
        values = layer_norm(image, head.value_norm) @ to_v.T + v_bias
        parts = []
        for i in range(HEADS):
            own = slice(i * WIDTH // HEADS, (i + 1) * WIDTH // HEADS)
            weights = (keys[:, own] @ query[own] / (WIDTH // HEADS) ** 0.5).exp()
            parts.append(weights @ values[:, own] / weights.sum())
        rows.append(torch.cat(parts))
    out = head.attention.out_proj
    return torch.stack(rows) @ out.weight.T + out.bias


def slow_logits(head, pooled, mean, var):
    return (pooled - mean) / (var + 1e-5).sqrt() @ head.fc.weight.T + head.fc.bias


def test_logits_are_those_of_attention_written_out():
    head, tokens = stir(build()), draw(5)
    slow = stir(build()).double()
    pooled = slow_pooled(slow, tokens.double())
    batch = pooled.mean(0), pooled.var(0, unbiased=False)
    running = slow.norm.running_mean.clone(), slow.norm.running_var.clone()
    head.eval()
    fast = head((None, tokens))
    torch.testing.assert_close(fast, slow_logits(slow, pooled, *running).float())
    head.test_statistics = 'batch'
    expected = slow_logits(slow, pooled, *batch).float()
    torch.testing.assert_close(head((None, tokens)), expected)
    torch.testing.assert_close(head.norm.running_mean, running[0].float())  # a test moves nothing
    head.train()
    torch.testing.assert_close(head((None, tokens)), expected)
    moved = 0.9 * running[1] + 0.1 * pooled.var(0)
    torch.testing.assert_close(head.norm.running_var, moved.float())


def test_a_test_does_not_depend_on_its_batches_unless_it_is_told_to():
    head, tokens = stir(build()).eval(), draw(8)
    whole = head((None, tokens))
    for size in (1, 3):
        parts = torch.cat([head((None, part)) for part in tokens.split(size)])
        torch.testing.assert_close(parts, whole)
    head.test_statistics = 'batch'
    parts = torch.cat([head((None, part)) for part in tokens.split(4)])
    assert (parts - head((None, tokens))).abs().max() > 0.1


def test_a_training_batch_of_one_is_normalised_as_in_a_test():
    head, tokens = stir(build()), draw(1)
    before = head.norm.running_var.clone()
    torch.testing.assert_close(head.train()((None, tokens)), head.eval()((None, tokens)))
    assert torch.equal(head.norm.running_var, before)


def test_weights_are_drawn_as_the_releases_do():
    head = MODELS.build(
        dict(type='AttentiveClsHead', num_classes=1000, embed_dims=384, num_heads=12)
    )
    head.init_weights()
    drawn = dict(query=head.query, qkv=head.attention.in_proj_weight,
                 out=head.attention.out_proj.weight)  # fmt: skip
    for name, weight in drawn.items():
        assert weight.std().item() == pytest.approx(0.02, rel=0.15), name
    assert head.fc.weight.std().item() == pytest.approx(0.01, rel=0.05)
    for bias in (head.fc.bias, head.attention.in_proj_bias, head.attention.out_proj.bias):
        assert not bias.any()
    assert head.norm.weight is None


def test_it_learns_what_only_one_patch_tells():
    """A token that says the class is at a random place: neither the class token nor the mean."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % CLASSES
    tokens = torch.randn(60, 7, WIDTH, generator=generator)
    places = torch.randint(1, 7, (60,), generator=generator)
    tokens[torch.arange(60), places] = 8 * torch.eye(WIDTH)[labels]
    head = build()
    optimiser = torch.optim.SGD(head.parameters(), lr=0.3, momentum=0.9)
    samples = [DataSample().set_gt_label(int(label)) for label in labels]
    for _ in range(60):
        optimiser.zero_grad()
        head.loss((tokens,), samples)['loss'].backward()
        optimiser.step()
    head.eval()
    assert (head((tokens,)).argmax(1) == labels).float().mean() > 0.95


@pytest.mark.parametrize(
    'more, words',
    [
        (dict(num_heads=7), 'num_heads must divide the 24 channels of the tokens, got 7'),
        (dict(num_heads=0), 'num_heads must divide'),
        (dict(test_statistics='train'), "must be 'running' or 'batch', got 'train'"),
    ],
)
def test_mistakes_get_a_sentence(more, words):
    with pytest.raises(ValueError, match=words):
        build(**more)


def step(head, tokens):
    """Running mean and gradient of the query after a step of training."""
    labels = [DataSample().set_gt_label(i % CLASSES) for i in range(len(tokens))]
    head.loss((tokens,), labels)['loss'].backward()
    return head.norm.running_mean, head.query.grad


def test_two_processes_train_as_one_does(fork_server, tmp_path):
    logs = [tmp_path / f'{rank}.txt' for rank in range(2)]
    processes = fork_server.launch(__file__, [tmp_path], logs, {})
    codes = fork_server.wait(*processes, limit=60)
    assert codes == [0, 0], logs[0].read_text()
    mean, grad = step(stir(build()), draw(6))
    found = [torch.load(tmp_path / f'{rank}.pt') for rank in range(2)]
    for each, _ in found:
        torch.testing.assert_close(each, mean)
    torch.testing.assert_close((found[0][1] + found[1][1]) / 2, grad)


if __name__ == '__main__':
    dist.init_process_group('gloo')
    rank = dist.get_rank()
    torch.save(step(stir(build()), draw(6).chunk(2)[rank]), f'{sys.argv[1]}/{rank}.pt')
