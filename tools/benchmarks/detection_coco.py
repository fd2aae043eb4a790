"""Faster R-CNN on a few images of COCO: does it learn them by heart, and which backbone helps?

The first run trains a small ViT from random weights on the 8 images with the largest objects. The
others train the heads on all images over a frozen ViT-S/14, of random weights and of a checkpoint,
for equal iterations. AP is that on the images trained with. A run whose figures are in the folder
is not repeated; --plot draws loss curves and AP of those that are there.

Example:
    python tools/benchmarks/detection_coco.py --data /data/coco --out work_dirs/detection \\
        --checkpoint vit_s_focus.onnx --plot docs/assets/detection_coco.png
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
from mmc_plugin.engine.cli import ROOT
from mmc_plugin.visualization.figures import figure_to_array, new_figure

RUNS = ('overfit', 'random', 'checkpoint')
FEW = 8  # images of the first run
SMALL = dict(embed_dims=192, num_layers=4, num_heads=3, feedforward_channels=384)


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--data', type=Path, required=True, help='folder of COCO')
    parser.add_argument('--split', default='val2017', help='its images are trained and tested on')
    parser.add_argument('--out', type=Path, required=True, help='folder for the runs')
    parser.add_argument('--checkpoint', help='a ViT-S/14, of any format that load_backbone reads')
    parser.add_argument('--runs', nargs='+', choices=RUNS, default=RUNS, help='by default all')
    parser.add_argument('--iters', type=int, default=400, help='iterations of each training')
    parser.add_argument('--plot', type=Path, help='picture to write')
    return parser.parse_args()


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


def config(args, run: str) -> Config:
    """The package's frozen Mask R-CNN without its mask head, small enough for a CPU."""
    cfg = Config.fromfile(ROOT / 'configs' / 'detection' / 'vits_coco_mask_rcnn_frozen.py')
    source = args.data / 'annotations' / f'instances_{args.split}.json'
    annotations = args.out.resolve() / 'few.json' if run == 'overfit' else source.resolve()
    if run == 'overfit':
        annotations.write_text(json.dumps(easiest(json.loads(source.read_text()), FEW)))
    patch, side = (16, 192) if run == 'overfit' else (14, 168)
    model = cfg.model
    model.type = 'FasterRCNN'
    model.data_preprocessor.update(pad_mask=False, pad_size_divisor=1)
    model.roi_head.pop('mask_head')
    model.roi_head.pop('mask_roi_extractor')
    if run == 'overfit':
        model.backbone.update(
            arch=SMALL, img_size=side, checkpoint=None, frozen=False, out_indices=-1
        )
        model.neck.in_channels = SMALL['embed_dims']
        model.backbone.drop_path_rate = 0.0
    elif run == 'random':
        model.backbone.update(arch='dinov2-small', patch_size=patch, img_size=518, checkpoint=None)
    else:
        model.backbone = dict(
            type='DetectionViT', arch='auto', checkpoint=args.checkpoint, frozen=True
        )
    width = 64
    strides = [patch / 4, patch / 2, patch, patch * 2, patch * 4]
    model.neck.out_channels = width
    model.rpn_head.update(in_channels=width, feat_channels=width)
    model.rpn_head.anchor_generator.update(strides=strides, scales=[4])
    extractor = model.roi_head.bbox_roi_extractor
    extractor.update(out_channels=width, featmap_strides=strides[:4], finest_scale=28)
    model.roi_head.bbox_head.update(in_channels=width, fc_out_channels=256)
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
            if step['type'] == 'LoadAnnotations':
                step['with_mask'] = False
            if step['type'] == 'Resize':
                step['scale'] = (side, side)
    cfg.train_dataloader.batch_size = 4
    steps = cfg.train_dataloader.dataset.pipeline
    cfg.train_dataloader.dataset.pipeline = [s for s in steps if s['type'] != 'RandomFlip']
    cfg.train_dataloader.sampler = dict(type='InfiniteSampler', shuffle=True)
    cfg.val_evaluator.update(ann_file=str(annotations), metric='bbox')
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
    ap = {key: score[f'coco/bbox_mAP{key}'] for key in ('', '_50')}
    path.write_text(json.dumps(dict(run=run, losses=losses, ap=ap)))
    print(run, ap)


def plot(args) -> None:
    """Loss curves on the left, AP on the right."""
    names = dict(
        overfit=f'{FEW} images, small ViT, all trained',
        random='all images, ViT-S/14 of random weights, frozen',
        checkpoint=f'all images, {Path(args.checkpoint or "").stem}, frozen',
    )
    found = {run: args.out / f'{run}.json' for run in RUNS}
    found = {run: json.loads(path.read_text()) for run, path in found.items() if path.is_file()}
    figure = new_figure(10, 3.6)
    curves, bars = figure.subplots(1, 2, width_ratios=(3, 2))
    for place, (run, content) in enumerate(found.items()):
        steps, losses = zip(*content['losses'], strict=True)
        (line,) = curves.plot(steps, losses, label=names[run])
        heights = [100 * content['ap'][key] for key in ('', '_50')]
        marks = bars.bar(np.arange(2) + 0.27 * place, heights, 0.25, color=line.get_color())
        bars.bar_label(marks, fmt='%.1f', fontsize=9)
    curves.set(xlabel='iteration (4 images)', ylabel='loss', yscale='log')
    curves.legend(frameon=False, fontsize=9)
    bars.set_xticks(np.arange(2) + 0.27, ['box AP', 'box AP50'])
    bars.set(ylim=(0, 110), title='on the images trained with')
    args.plot.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(args.plot), figure_to_array(figure)[..., ::-1])


def main():
    args = parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault('MMC_CHECKPOINT', 'None')
    for run in args.runs:
        if run != 'checkpoint' or args.checkpoint:
            train(args, run)
    if args.plot:
        plot(args)


if __name__ == '__main__':
    main()
