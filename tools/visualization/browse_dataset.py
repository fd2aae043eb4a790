"""Show what a config trains on: views, how its student sees them, local crops.

    python tools/visualization/browse_dataset.py configs/mmc/vits_folder.py \
        --cfg-options train_dataloader.dataset.data_root=/path/to/images

Samples pass through the sampler, the pipeline, the collate function, the data preprocessor and the
method of a training, as one batch (arXiv 2308.11448, figure 8). They are those that come first in
a training of this seed; noise, and masks that a network draws by itself (MAE), are others. Patches
that the student does not see are striped in grey.
"""

import argparse
import copy
from collections.abc import Sequence
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
from mmc_plugin.models.selfsup import check_method
from mmc_plugin.models.utils import fillings
from mmc_plugin.visualization.figures import write_picture
from mmc_plugin.visualization.samples import Sample, hide, sample_sheet


def first_batch(cfg: Config, number: int, seed: int) -> dict:
    """The first ``number`` samples of a training as a collated batch.

    Raises:
        ValueError: If the config's pipeline makes no views.
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
    if not isinstance(data['inputs'], dict) or 'views' not in data['inputs']:
        raise InputError(
            f'the training pipeline of {cfg.filename} gives no views: only configs of pretraining, '
            'whose pipeline ends with PackViews, can be shown'
        )
    return data


def draw_samples(cfg: Config, number: int, seed: int, show_original: bool) -> list[Sample]:
    """The first ``number`` samples of a training, or as many as there are images.

    Raises:
        ValueError: If the config's pipeline makes no views, or not what its method takes.
    """
    data = first_batch(cfg, number, seed)
    # As the methods complete their settings.
    settings = dict(type='ViewDataPreprocessor') | dict(cfg.model.get('data_preprocessor', {}))
    preprocessor = MODELS.build(settings)
    inputs = preprocessor(data, training=True)['inputs']
    with torch.device('meta'):  # its weights are not asked
        method = MODELS.build(cfg.model)
    check_method(method)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        seen = method.seen(inputs)

    def pictures(images: torch.Tensor) -> np.ndarray:
        """(K, B, 3, H, W), normalised → uint8 (K, B, H, W, 3)."""
        pixels = preprocessor.denormalise(images.flatten(0, 1)).unflatten(0, images.shape[:2])
        return pixels.permute(0, 1, 3, 4, 2).numpy()

    views = inputs['views']
    clean, shown = pictures(views), pictures(seen.views)
    kinds = [[seen.how] * views.shape[1]] * len(shown)
    if seen.hidden is not None:
        side = method.patch_size
        mask = seen.hidden.unflatten(2, (views.shape[3] // side, -1)).numpy()
        mask = mask.repeat(side, axis=2).repeat(side, axis=3)
        shown = hide(shown, mask)
    elif seen.how:
        mask = inputs['mask'].numpy()
        kinds = [fillings(alien, seen.how) for alien in inputs['alien']]
    else:
        mask = np.zeros(shown.shape[:-1], bool)
    count = len(data['data_samples'])

    def spread(each: Sequence, other: Sequence) -> list:
        """One for each view, ``other`` for those that the teacher alone sees."""
        return [*[other] * seen.first, *each, *[other] * (len(views) - seen.first - len(each))]

    shown, kinds = spread(shown, [None] * count), spread(kinds, [''] * count)
    mask = np.stack(spread(mask, np.zeros_like(mask[0])))
    crops = [pictures(each) for each in inputs.get('crops', [])]  # one for each resolution
    load = LoadImage()
    samples = []
    for i, sample in enumerate(data['data_samples']):
        path = sample.img_path
        samples.append(
            Sample(
                name=Path(path).name,
                clean=clean[:, i],
                seen=[view[i] for view in shown],
                kinds=[view[i] for view in kinds],
                mask=mask[:, i],
                regions=inputs['regions'][:, i].numpy() if 'regions' in inputs else None,
                crops=[crop for each in crops for crop in each[:, i]],
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
            name = f'{cfg.model.type}, {Path(args.config).stem}'
            title = f'{name}: samples {start + 1} to {start + len(part)}'
            path = Path(args.output_dir) / f'samples_{page:02d}.png'
            write_picture(path, sample_sheet(part, title))
            print(f'wrote {path}')


if __name__ == '__main__':
    main()
