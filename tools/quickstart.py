"""Pretrain a small ViT with MMC in a few minutes and show what it learned on one page.

``python tools/quickstart.py`` trains on ten photographs that scikit-image and scikit-learn ship,
``python tools/quickstart.py IMAGE_DIR`` on a folder of yours. An interrupted run goes on when the
command is given again; after a finished one its folder is renamed and a new run starts.
"""

import argparse
import json
import os
import shlex
import shutil
import time
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import cv2
import torch
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpretrain.registry import DATASETS

from mmc_plugin.datasets import ImageTree
from mmc_plugin.datasets.image_files import ImageFiles
from mmc_plugin.engine import cli
from mmc_plugin.engine.checkpoint import find_resumable_checkpoint, read_last_checkpoint
from mmc_plugin.engine.hooks.loss_guard import check_train_dataloader
from mmc_plugin.visualization import page
from mmc_plugin.visualization.curves import training_curves
from mmc_plugin.visualization.run_log import read_scalars, series

PHOTOGRAPHS = {
    'skimage': (
        'data',
        (
            'astronaut.png',
            'chelsea.png',
            'coffee.png',
            'hubble_deep_field.jpg',
            'ihc.png',
            'motorcycle_left.png',
            'retina.jpg',
            'rocket.jpg',
        ),
    ),
    'sklearn': ('datasets/images', ('china.jpg', 'flower.jpg')),
}
# What to click on in the photographs: (x, y) in the square that is cut from the centre.
CLICKS = {'chelsea.png': (0.55, 0.35), 'coffee.png': (0.42, 0.38), 'flower.jpg': (0.5, 0.5)}
SIMILARITY_SIZE = 256  # pixels
STATE = 'quickstart.json'


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('image_dir', nargs='?', help='folder of images: any nesting, no labels')
    parser.add_argument('--config', default='mmc/quickstart.py')
    parser.add_argument('--work-dir', default='work_dirs/quickstart')
    parser.add_argument('--minutes', type=float, default=5, help='time limit of the training')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override settings of the config',
    )
    return parser.parse_args(argv)


def copy_photographs(folder: Path) -> None:
    """Copy the photographs out of the installed packages; nothing is downloaded."""
    folder.mkdir(parents=True, exist_ok=True)
    for package, (inner, names) in PHOTOGRAPHS.items():
        spec = find_spec(package)
        for name in names:
            source = Path(spec.origin).parent / inner / name if spec else None
            if source is None or not source.is_file():
                raise FileNotFoundError(
                    f'the photograph {name} of the package {package} is not installed: run "pip '
                    'install scikit-image scikit-learn", or name a folder of images'
                )
            shutil.copyfile(source, folder / name)


def make_room(work_dir: Path, image_dir: str | None) -> bool:
    """Keep a finished run, or one on other images, under another name.

    Returns:
        bool: Whether an interrupted run on the same images is there to be resumed.
    """
    state = work_dir / STATE
    if state.exists():
        last = json.loads(state.read_text(encoding='utf-8'))
        if last['finished'] or last['image_dir'] != image_dir:
            stamp = time.strftime('%Y%m%d_%H%M%S', time.localtime(state.stat().st_mtime))
            kept = work_dir.with_name(f'{work_dir.name}_{stamp}')
            work_dir.rename(kept)
            cli.say(f'The run before is kept in {kept}.')
    return find_resumable_checkpoint(str(work_dir)) is not None


def write_state(work_dir: Path, image_dir: str | None, finished: bool) -> None:
    state = dict(image_dir=image_dir, finished=finished)
    (work_dir / STATE).write_text(json.dumps(state), encoding='utf-8')


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
        clicks = {path: (0.5, 0.5) for path in readable_images(paths, 3)}
    cfg.custom_hooks.append(
        dict(
            type='SimilarityPanelHook',
            images=list(clicks),
            points=list(clicks.values()),
            size=SIMILARITY_SIZE,
        )
    )
    # At each epoch, as any epoch may be the last.
    cfg.default_hooks.checkpoint.interval = 1
    cfg.default_hooks.time_limit = dict(type='TimeLimitHook', seconds=60 * args.minutes)
    return cfg, data


def facts(
    runner: Runner, data: ImageTree, records: list[dict], seconds: float
) -> list[tuple[str, str]]:
    """How the run went, in words."""
    device = next(runner.model.parameters()).device
    name = (
        torch.cuda.get_device_name(device)
        if device.type == 'cuda'
        else f'CPU, {cli.available_cpus()} cores'
    )
    parameters = sum(each.numel() for each in runner.model.backbone.parameters())
    _, rates = series(records, 'images_per_second')
    rows = [
        ('Images', f'{len(data)} in {data.data_root}'),
        (
            'Model',
            f'ViT with {parameters / 1e6:.1f} million weights, '
            f'{runner.model.backbone.img_size[0]}² pixels, patches of '
            f'{runner.model.patch_size}²',
        ),
        ('Device', name),
        ('Training', f'{runner.epoch} epochs, {runner.iter} iterations in {seconds:.0f} s'),
    ]
    if rates:
        rows.append(('Speed', f'{median(rates):.0f} images/s (median)'))
    for key, words in dict(
        loss_rec='Reconstruction loss', loss_patch='Patch loss', loss_cls='Class token loss'
    ).items():
        _, values = series(records, key)
        if values:
            rows.append((words, f'{values[0]:.3f} at first, {values[-1]:.3f} at last'))
    return rows


def next_steps(cfg: Config, checkpoint: str) -> list[tuple[str, str]]:
    """What to run now, in words and as a command."""
    work_dir = shlex.quote(cfg.work_dir)
    config = shlex.quote(os.path.join(cfg.work_dir, os.path.basename(cfg.filename)))
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
    return [
        (
            'Train a ViT-S/16 on a folder of your own',
            'python tools/train.py configs/mmc/vits_folder.py --cfg-options '
            'train_dataloader.dataset.data_root=IMAGE_DIR',
        ),
        (
            'Go on with this run for twice as many epochs, up to an hour',
            f'python tools/train.py {config} --work-dir {work_dir} --resume --cfg-options '
            f'train_cfg.max_epochs={2 * cfg.train_cfg.max_epochs} '
            'default_hooks.time_limit.seconds=3600',
        ),
        ('Watch a run in TensorBoard', f'tensorboard --logdir {work_dir}'),
        ('Use the backbone in a config of mmpretrain', backbone),
    ]


def write_pictures(work_dir: Path, records: list[dict]) -> dict[str, tuple[str, str]]:
    """Write the curves; put all pictures under fixed names.

    Returns:
        dict: Heading → (file name, words about it).
    """
    cv2.imwrite(str(work_dir / 'curves.png'), training_curves({work_dir.name: records})[..., ::-1])
    pictures = {
        'Losses': (
            'curves.png',
            'The three losses apart, the learning rate, and how much '
            'of the feature space the features fill.',
        )
    }
    panels = sorted(
        (work_dir / 'vis').glob('reconstruction_epoch_*.png'),
        key=lambda path: int(path.stem.rsplit('_', 1)[1]),
    )
    if panels:
        shutil.copyfile(panels[-1], work_dir / 'reconstruction.png')
        pictures['Reconstruction'] = (
            'reconstruction.png',
            'Parts of each image are replaced by noise or by another image; '
            'the student has to fill them in from what is left. A run of minutes gets to colours, '
            'not to shapes.',
        )
    shutil.copyfile(work_dir / 'vis' / 'similarity.png', work_dir / 'similarity.png')
    pictures['Click similarity'] = (
        'similarity.png',
        'The circle is the clicked patch. The colour shows the cosine of every '
        "other patch's feature to it, in the teacher before and after training.",
    )
    return pictures


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
                raise ValueError(
                    f'the images in {images} lie in the work dir, which is renamed '
                    'after a run: name another one with --work-dir'
                )
            # First: a folder that cannot be used shall not move an earlier run away.
            cfg, data = build_config(args, images)
            resume = make_room(work_dir, image_dir)
        cfg.resume = resume
        work_dir.mkdir(parents=True, exist_ok=True)
        write_state(work_dir, image_dir, finished=False)

        runner = Runner.from_cfg(cfg)
        check_train_dataloader(runner.train_dataloader)
        start = time.monotonic()
        runner.train()
        seconds = time.monotonic() - start
        write_state(work_dir, image_dir, finished=True)

        records = read_scalars(str(work_dir))
        pictures = write_pictures(work_dir, records)
        checkpoint = str(work_dir / os.path.basename(read_last_checkpoint(str(work_dir))))
        steps = next_steps(cfg, checkpoint)
        rows = facts(runner, data, records, seconds)
        rows += [('Config', args.config), ('Checkpoint', checkpoint)]
        index = work_dir / 'index.html'
        page.write_page(
            str(index),
            'MMC quickstart',
            page.paragraph(
                'A small vision transformer was pretrained with masked momentum '
                'contrastive learning (MMC, arXiv 2308.11448). This is what it learned '
                'in a few minutes, without a label.'
            ),
            [
                ('How the run went', page.table(rows)),
                *(
                    (heading, page.paragraph(words) + page.picture(name, words))
                    for heading, (name, words) in pictures.items()
                ),
                (
                    'What next',
                    ''.join(page.paragraph(words) + page.command(text) for words, text in steps),
                ),
            ],
        )

    cli.say('\nDone. Look at')
    for path in [index, *(work_dir / name for name, _ in pictures.values()), checkpoint]:
        cli.say(f'  {path}')
    for words, text in steps:
        cli.say(f'\n{words}:\n  ' + text.replace('\n', '\n  '))


if __name__ == '__main__':
    main()
