"""Makes what is drawn inside a training step a function of the seed and the iteration."""

from __future__ import annotations

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

_MASK = (1 << 64) - 1


def mix(*numbers: int) -> int:
    """Mix integers into one of 64 bits, so that neighbours give unrelated results.

    Each number is added to the state, which then passes through the finaliser of SplitMix64
    (Steele, Lea and Flood, OOPSLA 2014).
    """
    state = 0
    for number in numbers:
        state = (state + number + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state


@HOOKS.register_module()
class SeedEachIteration(Hook):
    """Seeds torch before each training step from the run's seed, the iteration and the rank.

    Noise fills, alien partners and drop-path then do not depend on how many numbers were drawn
    before, so a resumed run repeats what the killed one would have done.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Find the generators in use: the CPU's and that of the model's device."""
        self._seeders = [torch.default_generator.manual_seed]
        device = next(runner.model.parameters()).device.type
        if device != 'cpu':
            self._seeders.append(getattr(torch, device).manual_seed)  # torch.cuda.manual_seed, …

    def before_train_iter(self, runner: Runner, batch_idx, data_batch=None) -> None:
        """Seed them."""
        # Not torch.manual_seed: it formats a stack trace for each kind of device that is not in
        # use, which takes twenty times as long as all else here.
        seed = mix(runner.seed, runner.iter, get_rank())
        for manual_seed in self._seeders:
            manual_seed(seed)
