"""Two gloo processes run this file as a script; the tests compare what they leave with one."""

import sys

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F

from mmc_plugin.engine import cli
from mmc_plugin.models.losses import info_nce
from mmc_plugin.models.utils import gather_with_grad, global_mean

WORLD = 2
COUNTS = (3, 11)  # items of each process in the averaged sums


def features():
    """Queries and keys (8, 4) of the whole batch; process r has rows 4r to 4r + 3."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 8, 4, generator=generator, dtype=torch.float64).unbind()


def values():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(sum(COUNTS), 3, generator=generator, dtype=torch.float64)


def contrast(queries, keys, all_keys, groups):
    """Loss of some queries; the keys of the whole batch are the negatives."""
    normalised = [F.normalize(x, dim=1) for x in (queries, keys, all_keys)]
    return info_nce(*normalised, groups, torch.arange(len(all_keys)), max_logits=20)


def weighted(gathered, rank):
    """A sum that uses every row of every process, differently in each process."""
    return (gathered.sin() * torch.arange(gathered.numel()).view_as(gathered) * (rank + 1)).sum()


def work(rank, folder):
    """What one process computes; its results go to ``folder``."""
    torch.set_num_threads(1)
    dist.init_process_group('gloo', f'file://{folder}/store', rank=rank, world_size=WORLD)
    rows = slice(4 * rank, 4 * rank + 4)
    queries, keys = (x[rows].clone().requires_grad_() for x in features())
    out = {}

    gathered = gather_with_grad(keys)
    out['gathered'] = gathered.detach()
    (out['gather_grad'],) = torch.autograd.grad(weighted(gathered, rank), keys)
    # A gradient without memory of its own, as expand() in the backward of sum() gives.
    (out['ones_grad'],) = torch.autograd.grad(gather_with_grad(keys).sum(), keys)
    out['indices'] = gather_with_grad(torch.tensor([[rank], [7]]))
    with torch.no_grad():
        out['needs_grad'] = gather_with_grad(keys).requires_grad
    transposed = keys.detach().t()  # not contiguous
    out['transposed'] = gather_with_grad(transposed)

    loss = contrast(queries, keys, gather_with_grad(keys), torch.arange(8)[rows])
    out['loss'] = loss.detach()
    out['loss_grads'] = torch.autograd.grad(loss, (queries, keys))

    start = sum(COUNTS[:rank])
    weight = torch.ones(3, dtype=torch.float64, requires_grad=True)
    own = (values()[start : start + COUNTS[rank]] * weight).square().sum()
    for name, count in (('tensor', torch.tensor(COUNTS[rank])), ('number', COUNTS[rank])):
        mean = global_mean(own, count)
        out[f'mean_{name}'] = mean.detach()
        (out[f'mean_grad_{name}'],) = torch.autograd.grad(mean, weight, retain_graph=True)
    out['count'] = count_left = torch.tensor(5.0, dtype=own.dtype)
    global_mean(own, count_left)
    out['one_empty'] = global_mean(torch.tensor(6.0 * rank), torch.tensor(3 * rank))
    out['all_empty'] = global_mean(torch.tensor(0.0), torch.tensor(0))

    torch.save(out, f'{folder}/{rank}.pt')
    cli.end_launch()


@pytest.fixture(scope='module')
def results(fork_server, tmp_path_factory):
    folder = tmp_path_factory.mktemp('gloo')
    fork_server.run_ranks(__file__, [], folder)
    return [torch.load(folder / f'{rank}.pt', weights_only=True) for rank in range(WORLD)]


def test_gather_is_in_rank_order_everywhere(results):
    _, keys = features()
    for rank, result in enumerate(results):
        assert torch.equal(result['gathered'], keys)
        assert result['indices'].tolist() == [[0], [7], [1], [7]]
        assert torch.equal(result['transposed'], torch.cat([keys[:4].t(), keys[4:].t()])), rank
        assert not result['needs_grad']


def test_gather_gradient_equals_one_process(results):
    keys = features()[1].requires_grad_()
    (wanted,) = torch.autograd.grad(sum(weighted(keys, rank) for rank in range(WORLD)), keys)
    torch.testing.assert_close(torch.cat([r['gather_grad'] for r in results]), wanted)
    for result in results:
        assert (result['ones_grad'] == WORLD).all()


def test_contrast_with_gathered_keys_equals_the_whole_batch(results):
    queries, keys = (x.requires_grad_() for x in features())
    loss = contrast(queries, keys, keys, torch.arange(8))
    torch.testing.assert_close(sum(r['loss'] for r in results) / WORLD, loss.detach())
    for index, wanted in enumerate(torch.autograd.grad(loss, (queries, keys))):
        # Each row belongs to one process; data parallelism would divide its gradient by WORLD.
        gradient = torch.cat([r['loss_grads'][index] for r in results]) / WORLD
        torch.testing.assert_close(gradient, wanted)


@pytest.mark.parametrize('kind', ['tensor', 'number'])
def test_average_of_global_means_is_the_mean_of_all(results, kind):
    weight = torch.ones(3, dtype=torch.float64, requires_grad=True)
    mean = (values() * weight).square().sum() / sum(COUNTS)
    (wanted,) = torch.autograd.grad(mean, weight)
    average = sum(r[f'mean_{kind}'] for r in results) / WORLD
    torch.testing.assert_close(average, mean.detach())
    torch.testing.assert_close(sum(r[f'mean_grad_{kind}'] for r in results) / WORLD, wanted)


def test_global_mean_with_empty_processes_and_its_count(results):
    assert [r['one_empty'].item() for r in results] == [0, 4]  # average 2 = (0 + 6) / (0 + 3)
    assert [r['all_empty'].item() for r in results] == [0, 0]
    assert [r['count'].item() for r in results] == [5, 5]  # the caller's count is left alone


def test_one_process():
    x = torch.randn(3, 2, requires_grad=True)
    assert gather_with_grad(x) is x
    total, count = torch.tensor(6.0, requires_grad=True), torch.tensor(4.0, requires_grad=True)
    mean = global_mean(total, count)
    assert mean.item() == 1.5
    assert torch.autograd.grad(mean, (total, count), allow_unused=True) == (0.25, None)
    assert global_mean(total * 0, 0).item() == 0
    assert global_mean(torch.tensor(6.0, dtype=torch.bfloat16), 0.5).item() == 12


if __name__ == '__main__':
    work(int(sys.argv[1]), sys.argv[2])
