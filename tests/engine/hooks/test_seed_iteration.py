import time
from types import SimpleNamespace

import pytest
import torch

from mmc_plugin.engine.hooks.seed_iteration import SeedEachIteration, mix


def make_runner(seed: int, iteration: int, device: str = 'cpu') -> SimpleNamespace:
    model = torch.nn.Linear(1, 1, device=device)
    return SimpleNamespace(seed=seed, iter=iteration, model=model)


def draw(seed: int, iteration: int, drawn_before: int = 0) -> list[float]:
    torch.rand(drawn_before)
    runner = make_runner(seed, iteration)
    hook = SeedEachIteration()
    hook.before_train(runner)
    hook.before_train_iter(runner, 0)
    return torch.rand(4).tolist()


def test_follows_seed_and_iteration_only():
    assert draw(0, 7) == draw(0, 7, drawn_before=100)
    draws = [tuple(draw(seed, iteration)) for seed in range(5) for iteration in range(200)]
    assert len(set(draws)) == 1000


@pytest.mark.gpu
def test_seeds_the_gpu():
    hook, runner = SeedEachIteration(), make_runner(0, 7, 'cuda')
    hook.before_train(runner)
    draws = []
    for drawn_before in (0, 100):
        torch.rand(drawn_before, device='cuda')
        hook.before_train_iter(runner, 0)
        draws.append(torch.rand(4, device='cuda').tolist())
    assert draws[0] == draws[1]


def test_mix():
    # SplitMix64 with state 0: the published first output.
    assert mix(0) == 0xE220A8397B1DCDAF
    values = {mix(seed, step, rank) for seed in range(9) for step in range(99) for rank in range(9)}
    assert len(values) == 9 * 99 * 9
    assert all(0 <= value < 1 << 64 for value in values)
    # Neighbours differ in about half of the bits.
    flips = [bin(mix(0, step, 0) ^ mix(0, step + 1, 0)).count('1') for step in range(1000)]
    assert 31 < sum(flips) / len(flips) < 33
    assert mix(-1, 0) == mix((1 << 64) - 1, 0)


def test_comes_first():
    assert SeedEachIteration.priority == 'VERY_HIGH'


def test_is_cheap():
    hook, runner = SeedEachIteration(), make_runner(3, 5)
    hook.before_train(runner)
    times = []
    for _ in range(200):
        start = time.perf_counter()
        hook.before_train_iter(runner, 0)
        times.append(time.perf_counter() - start)
    assert min(times) < 100e-6  # 10e-6 on an idle core
