"""Show what a config trains on: augmented views, their corruption and its masks.

    python tools/visualization/browse_dataset.py configs/mmc/vits_folder.py \
        --cfg-options train_dataloader.dataset.data_root=/path/to/images

Samples pass through the sampler, the pipeline, the collate function, the data preprocessor and the
corruption of a training (arXiv 2308.11448, figure 8). They are those that come first in a training
of this seed; its noise is another.
"""

import argparse
import copy
from os.path import expanduser
from pathlib import Path


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'config', help='a config file, or the name of one of mmc_plugin, such as mmc/vitb_400e.py'
    )
    parser.add_argument(
        '--output-dir',
        type=expanduser,
        default='work_dirs/browse_dataset',
        help='folder for the pictures',
    )
    parser.add_argument('-n', '--number', type=int, default=8, help='samples, 8 by default')
    parser.add_argument('--per-sheet', type=int, default=8, help='samples a picture')
    parser.add_argument('--seed', type=int, default=0, help='of order, views and corruption')
    parser.add_argument(
        '--show-original', action='store_true', help='show the images before augmentation too'
    )
    parser.add_argument(
        '--cfg-options', nargs='+', action='extend', metavar='KEY=VALUE',
        help='override settings of the config',
    )  # fmt: skip
    args = parser.parse_args(argv)
    if args.number < 1 or args.per_sheet < 1:
        parser.error('--number and --per-sheet must be at least 1')
    return args


if __name__ == '__main__':
    parse_args()  # help and mistakes are answered before seconds of imports

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpretrain.registry import MODELS

from mmc_plugin.datasets.transforms.loading import LoadImage
from mmc_plugin.engine import cli
from mmc_plugin.errors import InputError
from mmc_plugin.models.utils import corrupt
from mmc_plugin.visualization.figures import write_picture
from mmc_plugin.visualization.samples import Sample, sample_sheet


def draw_samples(cfg: Config, number: int, seed: int, show_original: bool) -> list[Sample]:
    """The first ``number`` samples of a training, or as many as there are images.

    Raises:
        ValueError: If the config's pipeline makes no views and masks.
    """
    loader = copy.deepcopy(cfg.train_dataloader)
    loader.update(
        batch_size=number, num_workers=0, persistent_workers=False, pin_memory=False,
        drop_last=False,
    )  # fmt: skip
    loader.pop('prefetch_factor', None)  # needs workers
    loader = Runner.build_dataloader(loader, seed=seed)
    data = next(iter(loader))
    skipped = [*getattr(loader.dataset, 'scan_report', {}).get('left_out', {}).items()]
    skipped += [
        each for sample in data['data_samples'] for each in sample.metainfo.get('skipped', ())
    ]
    cli.say_skipped([f'{path} ({reason})' for path, reason in skipped])
    missing = sorted({'views', 'mask', 'alien'} - set(data['inputs']))
    if missing:
        raise InputError(
            f'the training pipeline of {cfg.filename} gives no {" and no ".join(missing)}: '
            'only configs with MultiView, GMMLMask and PackViews can be shown'
        )

    # As the model MMC completes its settings.
    settings = dict(type='ViewDataPreprocessor') | dict(cfg.model.get('data_preprocessor', {}))
    preprocessor = MODELS.build(settings)
    inputs = preprocessor(data, training=True)['inputs']
    generator = torch.Generator().manual_seed(seed)
    corrupted = corrupt(inputs['views'], inputs['mask'], inputs['alien'], generator=generator)

    def pictures(images: torch.Tensor) -> np.ndarray:
        """(K, B, 3, H, W), normalised → uint8 (B, K, H, W, 3)."""
        pixels = preprocessor.denormalise(images.flatten(0, 1)).unflatten(0, images.shape[:2])
        return pixels.permute(1, 0, 3, 4, 2).numpy()

    clean, corrupted = pictures(inputs['views']), pictures(corrupted)
    crops = [pictures(each) for each in inputs.get('crops', [])]  # one for each resolution
    load = LoadImage()
    samples = []
    for i, sample in enumerate(data['data_samples']):
        path = sample.img_path
        samples.append(
            Sample(
                name=Path(path).name,
                clean=clean[i],
                corrupted=corrupted[i],
                mask=inputs['mask'][:, i].numpy(),
                alien=inputs['alien'][:, i].numpy(),
                crops=[crop for each in crops for crop in each[i]],
                original=load(dict(img_path=path))['img'][..., ::-1] if show_original else None,
            )
        )
    return samples


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with cli.one_sentence_errors():
        cfg = cli.load_config(args.config, args.cfg_options)
        init_default_scope(cfg.get('default_scope', 'mmpretrain'))
        samples = draw_samples(cfg, args.number, args.seed, args.show_original)
        for page, start in enumerate(range(0, len(samples), args.per_sheet), 1):
            part = samples[start : start + args.per_sheet]
            title = f'{Path(args.config).stem}: samples {start + 1} to {start + len(part)}'
            path = Path(args.output_dir) / f'samples_{page:02d}.png'
            write_picture(path, sample_sheet(part, title))
            print(f'wrote {path}')


if __name__ == '__main__':
    main()
