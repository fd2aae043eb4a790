"""Recognises whose release a checkpoint is, for people and for what its weights do not tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from .files import Checkpoint
from .networks import Network

_MOCO_SMALL = dict(width=384, num_heads=12)


@dataclass
class Release:
    """Where a checkpoint comes from.

    Args:
        name (str): For people.
        antialias (bool): Whether its code resizes position embeddings with antialiasing.
        eps (float): Of its layer norms.
        moco (bool): Whether it is of MoCo-v3, whose ViT-S has heads of 32 channels.
    """

    name: str
    antialias: bool = False
    eps: float = 1e-6
    moco: bool = False

    def num_heads(self, weights: Mapping[str, Tensor]) -> int | None:
        """Attention heads, where they are a property of the release."""
        projection = weights.get('patch_embed.projection.weight')
        if self.moco and projection is not None and len(projection) == _MOCO_SMALL['width']:
            return _MOCO_SMALL['num_heads']
        return None


def recognise(
    network: Network, checkpoint: Checkpoint, family: str | None, dropped: list[str]
) -> Release:
    """Recognise a release by its containers, prefixes and additions.

    Args:
        network (Network): As it was found in the file.
        checkpoint (Checkpoint): The file.
        family (str, optional): What the configuration in the file says.
        dropped (list[str]): Names inside the network that are not of the backbone.

    Returns:
        Release: What it probably is; releases that share one layout are named together.
    """
    release = _by_names(network, checkpoint, dropped)
    role = f' ({network.role})' if network.role != 'network' else ''
    release.name = f'{family or release.name}{role}'
    if checkpoint.kind in ('safetensors', 'onnx'):
        release.name += f', {checkpoint.kind}'
    return release


def _by_names(network: Network, checkpoint: Checkpoint, dropped: list[str]) -> Release:
    names = network.weights
    parts = set(network.path.split('.'))
    arch = checkpoint.content.get('arch')  # in the linear probes of MoCo-v3
    outside = {part for name in network.dropped for part in name.split('.')}
    if network.layout == 'mmpretrain':
        moco = 'momentum_encoder' in parts | outside
        return Release('mmpretrain', moco=moco)
    if network.layout == 'huggingface':
        if 'embeddings.register_tokens' in names:
            return Release('Hugging Face DINOv2 with registers', antialias=True)
        if any(name.endswith('.lambda1') for name in names):
            return Release('Hugging Face DINOv2')
        return Release('Hugging Face ViT', eps=1e-12)
    if parts & {'base_encoder', 'momentum_encoder'} or arch == 'vit_small':
        return Release('MoCo-v3 release', moco=True)
    if any(name.startswith('decoder_') for name in dropped):
        return Release('MAE release')
    if 'target_encoder' in parts | outside:
        return Release('MSN release')
    if outside & {'head_recons', 'rec_head', 'recons_head'}:
        return Release('SiT, MC-SSL or GMML release')
    if 'mask_token' in names and names['mask_token'].ndim == 2:
        return Release('DINOv2 release', antialias='register_tokens' in names)
    if parts & {'teacher', 'student'}:
        return Release('DINO or iBOT release')
    return Release('ViT in the names of timm', antialias='reg_token' in names)
