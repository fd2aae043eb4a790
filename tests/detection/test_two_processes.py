"""A detector in two processes learns and predicts what it does in one with all images.

Two gloo processes run this file as a script; the tests compare what they leave with what one
process computes. All is float64 but what mmdet's head computes in float32 of any input.
"""

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from mmc_plugin.engine import cli

ROOT = Path(__file__).resolve().parents[2]
WORLD = 2
SIZE = 64
BOXES = (1, 4)  # objects of each image: what a loss is divided by differs between the processes
STRIDES = (4, 8, 16, 32, 64)
FCOS = dict(
    type='FCOS',
    data_preprocessor=dict(type='DetDataPreprocessor'),
    backbone=dict(
        type='DetectionViT', img_size=SIZE, patch_size=16, frozen=False, window_size=3,
        global_layers=[-1],
        arch=dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48),
    ),
    neck=dict(type='SimpleFPN', in_channels=24, out_channels=32),
    bbox_head=dict(
        type='FCOSHead', num_classes=3, in_channels=32, feat_channels=64, stacked_convs=1,
        strides=STRIDES,
        regress_ranges=((-1, 8), (8, 16), (16, 32), (32, 64), (64, 1e8)),
    ),
)  # fmt: skip
OPTIMIZER = dict(
    constructor='mmpretrain.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(layer_decay_rate=0.7),
    optimizer=dict(type='SGD', lr=0.05, weight_decay=0.0),
)


CLOSE = dict(rtol=1e-5, atol=1e-6)


def build():
    """The same detector in every process, with weights away from the start."""
    import mmc_plugin.detection  # noqa: F401  registers; needs operators

    with DefaultScope.overwrite_default_scope('mmdet'):
        from mmdet.registry import MODELS

        torch.manual_seed(0)
        model = MODELS.build(FCOS)
        model.init_weights()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.05 * torch.randn_like(p))
    return model.double().train()


def batch(images: slice) -> dict:
    """Normalised images and their objects, as the preprocessor hands them on."""
    from mmdet.structures import DetDataSample

    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn(WORLD, 3, SIZE, SIZE, generator=generator, dtype=torch.float64)
    samples = []
    for count in BOXES:
        corner = torch.rand(count, 2, generator=generator, dtype=torch.float64) * 24
        extent = 12 + torch.rand(count, 2, generator=generator, dtype=torch.float64) * 24
        labels = torch.randint(3, (count,), generator=generator)
        sample = DetDataSample(
            metainfo=dict(img_shape=(SIZE, SIZE), batch_input_shape=(SIZE, SIZE))
        )
        sample.gt_instances = InstanceData(
            bboxes=torch.cat([corner, corner + extent], 1), labels=labels
        )
        samples.append(sample)
    return dict(inputs=pixels[images], data_samples=samples[images])


def learn(model, forward, images: slice) -> dict:
    """A step with layer decay; losses, gradients and weights after it."""
    wrapper = build_optim_wrapper(model, OPTIMIZER)
    losses = forward(**batch(images), mode='loss')
    sum(losses.values()).backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    wrapper.step()
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    return dict(
        losses={name: loss.detach() for name, loss in losses.items()},
        gradients=gradients,
        weights=weights,
    )


def work(rank: int, folder: str) -> None:
    """What one process computes; its results go to ``folder``."""
    torch.set_num_threads(1)
    dist.init_process_group('gloo', f'file://{folder}/store', rank=rank, world_size=WORLD)
    wrapped = MMDistributedDataParallel(build())
    out = learn(wrapped.module, wrapped, slice(rank, rank + 1))
    torch.save(out, f'{folder}/{rank}.pt')
    cli.end_launch()


def test_losses_gradients_and_a_step_are_those_of_one_process(fork_server, tmp_path):
    fork_server.run_ranks(__file__, [], tmp_path)
    first, second = (
        torch.load(tmp_path / f'{rank}.pt', weights_only=True) for rank in range(WORLD)
    )
    model = build()
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    whole = learn(model, model, slice(None))
    assert set(whole['losses']) == {'loss_cls', 'loss_bbox', 'loss_centerness'}
    for name, loss in whole['losses'].items():
        shares = first['losses'][name], second['losses'][name]
        assert abs(shares[0] - shares[1]) > 0.01, name  # the images are not alike
        torch.testing.assert_close(sum(shares) / WORLD, loss, **CLOSE)
    for name, gradient in whole['gradients'].items():
        # A level's scale has none where no object is of its size.
        assert gradient.any() or 'scales' in name, name
        for each in (first, second):
            torch.testing.assert_close(each['gradients'][name], gradient, **CLOSE)
            torch.testing.assert_close(each['weights'][name], whole['weights'][name], **CLOSE)
        assert torch.equal(whole['weights'][name], start[name]) != bool(gradient.any())


def test_predictions_and_ap_are_those_of_one_process(tiny, tool, fork_server, tmp_path):
    """``tools/test.py`` on Mask R-CNN: boxes and masks of each image once, and the figures."""
    cfg = tiny('vits_coco_mask_rcnn_640_1x.py')
    torch.manual_seed(0)
    from mmdet.registry import MODELS

    model = MODELS.build(cfg.model)
    model.init_weights()
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'detector.pth')
    cfg.test_evaluator.outfile_prefix = 'found'  # in the folder that a process runs in
    config = tmp_path / 'tiny.py'
    cfg.dump(config)
    arguments = [config, tmp_path / 'detector.pth', '--work-dir']
    code, said = tool('test.py', *arguments, tmp_path / 'one')
    assert code == 0, said[-3000:]
    both = tmp_path / 'both'
    both.mkdir()
    logs = [both / f'{rank}.txt' for rank in range(WORLD)]
    processes = fork_server.launch(
        ROOT / 'tools' / 'test.py', [*arguments, both / 'work', '--launcher', 'pytorch'], logs
    )
    codes = fork_server.wait(*processes, limit=120)
    assert codes == [0, 0], logs[0].read_text()[-3000:]
    for kind in ('bbox', 'segm'):
        one, two = (
            sorted(
                json.loads((folder / f'found.{kind}.json').read_text()),
                key=lambda each: (each['image_id'], each['category_id'], -each['score']),
            )
            for folder in (tmp_path, both)
        )
        assert {each['image_id'] for each in one} == set(range(4))
        assert one == two
    one, two = (
        json.loads((folder / 'test_detector.json').read_text())['numbers']
        for folder in (tmp_path / 'one', both / 'work')
    )
    assert len(one) > 10 and one == two


if __name__ == '__main__':
    work(int(sys.argv[1]), sys.argv[2])
