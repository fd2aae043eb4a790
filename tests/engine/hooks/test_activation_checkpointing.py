"""A backbone whose blocks run twice has the losses and gradients of one whose blocks run once."""

from pathlib import Path

import pytest
import torch
from mmpretrain.registry import MODELS
from torch import nn

from mmc_plugin.engine.cli import complete_loader
from mmc_plugin.engine.training import train, training_config
from mmc_plugin.errors import InputError
from mmc_plugin.models.utils.recomputing import recompute_blocks
from mmc_plugin.visualization.run_log import read_scalars

CONFIG = str(Path(__file__).parents[2] / 'configs' / 'tiny_mmc.py')

ARCH = dict(embed_dims=24, num_layers=3, num_heads=2, feedforward_channels=48)
BACKBONES = dict(
    plugin=dict(type='PretrainedViT', arch=ARCH, img_size=32, patch_size=8, frozen=False,
                num_registers=2, out_type='raw', drop_path_rate=0.3, drop_rate=0.1),
    mmpretrain=dict(type='VisionTransformer', arch=ARCH, img_size=32, patch_size=8,
                    out_type='raw', drop_path_rate=0.3),
    moco=dict(type='MoCoV3ViT', arch=ARCH, img_size=32, patch_size=8, stop_grad_conv1=False),
)  # fmt: skip


class Model(nn.Module):
    """A backbone and a loss."""

    def __init__(self, backbone: dict) -> None:
        super().__init__()
        self.backbone = MODELS.build(backbone)

    def forward(self, images):
        out = self.backbone(images)[-1]
        return out.square().mean() + out.sum().sin()


def saved_bytes(run):
    """What ``run`` returns, and the bytes that autograd keeps for the way back."""
    kept = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        return run(), sum(kept.values())


@pytest.mark.parametrize('name', BACKBONES)
def test_losses_and_gradients_are_the_same_to_the_bit(name):
    torch.manual_seed(0)
    model = Model(BACKBONES[name]).train()
    model.backbone.init_weights()
    images, found = torch.randn(4, 3, 32, 32), []
    for checkpointed in (False, True):
        if checkpointed:
            names = list(model.state_dict())
            recompute_blocks(model)
            assert list(model.state_dict()) == names
        model.zero_grad()
        torch.manual_seed(1)
        loss, kept = saved_bytes(lambda: model(images))
        loss.backward()
        after = torch.rand(3)  # the random state behind both passes
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        found.append((loss.detach(), after, grads, kept))
    plain, recomputed = found
    assert torch.equal(plain[0], recomputed[0]) and torch.equal(plain[1], recomputed[1])
    assert len(plain[2]) == len(recomputed[2]) > 20
    assert all(map(torch.equal, plain[2], recomputed[2]))
    assert recomputed[3] < plain[3] / 2


def test_a_backbone_without_blocks_is_refused():
    with pytest.raises(InputError, match="backbone Linear has no blocks called 'layers'"):
        recompute_blocks(nn.ModuleDict(dict(backbone=nn.Linear(1, 1))))


def test_a_run_has_the_same_losses(photo_folder, tmp_path):
    """By the key of the command line, with drop-path, both networks and all losses."""
    found = []
    for name, options in dict(plain=[], hook=[
        'default_hooks.recompute.type=ActivationCheckpointingHook',
    ]).items():  # fmt: skip
        cfg = training_config(
            CONFIG,
            [f'train_dataloader.dataset.data_root={photo_folder}', 'train_cfg.max_epochs=2',
             'train_dataloader.num_workers=0', 'train_dataloader.batch_size=4',
             'optim_wrapper.precision=fp32', *options],
            str(tmp_path / name),
        )  # fmt: skip
        complete_loader(cfg, 'train_dataloader')
        train(cfg)
        records = read_scalars(str(tmp_path / name))
        found.append([(each['loss'], each['grad_norm']) for each in records if 'loss' in each])
    assert found[0] == found[1] and len(found[0]) == 4
