"""Warm-up, batch and workers of a training on a folder that may be small."""

from __future__ import annotations

import os

from mmengine.config import Config

from ..datasets.image_tree import extensions_for, scan_tree
from ..wording import counted
from .cli import say

WARM_UP = 10  # one in so many epochs, at most


def fit_to_data(cfg: Config) -> None:
    """Fit a config that says ``fit_to_data = True`` to its images and its length, in place.

    * Warm-up takes at most a tenth of the epochs, at least one, and none in a single epoch. It has
      two iterations at least, or the rate would stay at its first value.
    * A batch is at most all images of a process, so that an epoch has at least one. The learning
      rate follows where ``auto_scale_lr`` is on.
    * There are no more workers than batches in an epoch.

    Nothing is made larger, and what is changed is said. A folder that is not there is left to the
    data set, which refuses it.

    Args:
        cfg: Complete, with an ``ImageTree`` and schedulers by epoch.
    """
    if not cfg.get('fit_to_data'):
        return
    epochs = cfg.train_cfg.get('max_epochs')
    schedulers = cfg.get('param_scheduler')
    planned = epochs and isinstance(schedulers, list)  # one alone may stand without a list
    changes = []
    loader, processes = cfg.train_dataloader, _processes(cfg.launcher)
    batch, workers = loader.batch_size, loader.get('num_workers', 0)
    enough = batch * max(workers, 2) * processes
    images = _count(loader.dataset.data_root, enough, extensions_for(cfg.get('in_channels', 3)))
    share = images // processes
    if 2 <= share < batch:  # one image has no other to be told from
        changes.append(f'batches of {share} images, not {batch}')
        loader.batch_size = batch = share
    if workers > share // batch >= 1:
        changes.append(f'workers: {share // batch}, not {workers}')
        loader.num_workers = share // batch
    if planned:
        changes = _shorten_warm_up(schedulers, epochs, share // batch) + changes
    if changes:
        say(f'Fitted to the images and the length of the run: {"; ".join(changes)}.')


def _shorten_warm_up(schedulers: list, epochs: int, iterations: int) -> list[str]:
    """Shorten the first scheduler to its share, in place; what was changed, in words.

    Its first iteration has the lowest rate, and mmengine's cosine begins with the rate that it
    finds: after a warm-up of one iteration the whole run would have the lowest.
    """
    if len(schedulers) < 2:
        return []
    end = schedulers[0].end
    fitting = max(1 if iterations > 1 else 2, epochs // WARM_UP)
    if fitting >= epochs:
        fitting = 0
    if end <= fitting:
        return []
    schedulers[1].begin = fitting
    if fitting:
        schedulers[0].end = fitting
    else:
        del schedulers[0]
    return [f'warm-up of {counted(fitting, "epoch")}, not {end}']


def _processes(launcher: str) -> int:
    name = dict(pytorch='WORLD_SIZE', slurm='SLURM_NTASKS', mpi='OMPI_COMM_WORLD_SIZE').get(
        launcher
    )
    return int(os.environ.get(name, '1')) if name else 1


def _count(root: str, enough: int, extensions: tuple[str, ...]) -> int:
    """Images below a folder, exactly if there are fewer than ``enough``; 0 if it is not there."""
    root, found = os.path.expanduser(root), 0
    for _, _, names in os.walk(root):
        found += sum(name.lower().endswith(extensions) for name in names)
        if found >= 2 * enough:  # not all of them need be whole
            return found
    return len(scan_tree(root, extensions)[0]) if os.path.isdir(root) else 0
