"""A state dict for mmpretrain's ``VisionTransformer``."""

from __future__ import annotations

import os.path as osp

import torch

from .guide import Guide
from .subject import Subject, as_code


def write(subject: Subject, path: str) -> Guide:
    """Write a checkpoint that ``init_cfg=dict(type='Pretrained', ...)`` reads.

    Args:
        subject (Subject): Without register tokens.
        path (str): File to write.

    Raises:
        ValueError: If it has what mmpretrain's model has not.
    """
    if subject.registers:
        raise ValueError(
            "mmpretrain's VisionTransformer has no register tokens: export to safetensors, which "
            'PretrainedViT reads, or to timm or huggingface'
        )
    meta = dict(cfg=subject.run_config('VisionTransformer'))
    with open(path, 'wb') as file:  # torch writes the name of a path into the file
        torch.save(dict(meta=meta, state_dict=subject.weights), file)
    name = osp.basename(path)
    config = subject.config()
    config['init_cfg'] = dict(type='Pretrained', checkpoint=name)
    arguments = {key: value for key, value in config.items() if key != 'type'}
    height, width = subject.size
    return Guide(
        title="a checkpoint of mmpretrain's VisionTransformer",
        code=f"""\
import torch
from mmpretrain.models import VisionTransformer
images = torch.rand(1, 3, {height}, {width})
model = VisionTransformer(**{as_code(arguments)}, out_type='raw')
model.init_weights()
model.eval()
tokens, = model(images)
cls, patches = tokens[:, 0], tokens[:, 1:]
""",
        notes=[subject.resizing('mmpretrain', antialias=False)],
        config=f"""\
backbone={as_code(config)}
data_preprocessor=dict(mean={list(subject.mean)}, std={list(subject.std)}, to_rgb=True)
""",
    )
