"""How long a training stands still for a checkpoint, waited for and written in the background.

A run of MMC on the photographs that come with scikit-image, one iteration an epoch; timed is the
second call of the checkpoint hook, when the first file is written. ``of a minute`` is the share of
the time where a checkpoint is written once a minute.

Example:
    python tools/benchmarks/background_checkpoint.py --config mmc/vits_folder.py
"""

import argparse
import os
import tempfile
from functools import partial
from pathlib import Path

import torch
from timing import WALL, spread, timed

from mmc_plugin.datasets.photographs import copy_photographs
from mmc_plugin.engine.background import wait_for_writers
from mmc_plugin.engine.cli import complete_loader
from mmc_plugin.engine.hooks import SafeCheckpointHook
from mmc_plugin.engine.training import train, training_config


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--config', default='mmc/vits_folder.py', help='a pretraining')
    parser.add_argument('--repeats', type=int, default=3, help='runs of each kind')
    return parser.parse_args()


def blocked(config, folder, images, background):
    """Seconds of the second call, and the size of the file in bytes."""
    seconds, save = [], SafeCheckpointHook._save_checkpoint_with_step

    def timed_save(self, *args, **kwargs):
        wait_for_writers()
        seconds.append(timed(partial(save, self, *args, **kwargs), WALL)[0])

    options = {
        'train_dataloader.dataset.data_root': str(images), 'train_dataloader.num_workers': 0,
        'train_dataloader.batch_size': 2, 'train_cfg.max_epochs': 2, 'fit_to_data': False,
        'param_scheduler': None, 'default_hooks.checkpoint.background': background,
        'default_hooks.checkpoint.interval': 1,
        'default_hooks.reconstruction.interval': 0,
        'train_dataloader.sampler': dict(_delete_=True, type='FixedLengthSampler', length=2),
    }  # fmt: skip
    cfg = training_config(config, options, str(folder))
    complete_loader(cfg, 'train_dataloader')
    SafeCheckpointHook._save_checkpoint_with_step = timed_save
    try:
        train(cfg)
    finally:
        SafeCheckpointHook._save_checkpoint_with_step = save
    return seconds[1], os.path.getsize(folder / 'epoch_2.pth')


def main():
    args = parse_args()
    torch.set_num_threads(1)
    times = {False: [], True: []}
    for _ in range(args.repeats):  # in turns, as timing.in_turns: what counts is within a run
        for background, seconds in times.items():
            with tempfile.TemporaryDirectory() as folder:
                images = Path(folder, 'images')
                copy_photographs(images)
                second, size = blocked(args.config, Path(folder, 'run'), images, background)
                seconds.append(second)
    for background, seconds in times.items():
        print(
            f'background={background}: {size / 1e6:.0f} MB, {spread(seconds)} s, '
            f'{100 * spread(seconds).median / 60:.1f} % of a minute',
            flush=True,
        )


if __name__ == '__main__':
    main()
