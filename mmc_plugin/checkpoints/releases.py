"""Recognises whose release a checkpoint is, for people and for what its weights do not tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from .checkpoint import Checkpoint
from .networks import Network

_MOCO_SMALL = 384  # channels; its heads have 32 of them


@dataclass
class Release:
    """Where a checkpoint comes from, and what is the same for all of one origin.

    Args:
        name (str): For people; releases that share one layout are named together.
        antialias (bool): Whether its code resizes position embeddings with antialiasing.
        eps (float): Of its layer norms.
        num_heads (int, optional): Attention heads, where they are a property of the release.
    """

    name: str
    antialias: bool = False
    eps: float = 1e-6
    num_heads: int | None = None


def recognise(
    network: Network,
    weights: Mapping[str, Tensor],
    checkpoint: Checkpoint,
    family: str | None,
    dropped: list[str],
) -> Release:
    """Recognise a release by its containers, prefixes and additions.

    Args:
        network (Network): As it was found in the file.
        weights (Mapping[str, Tensor]): The same in the names of mmpretrain.
        checkpoint (Checkpoint): The file.
        family (str, optional): What the configuration in the file says.
        dropped (list[str]): Names inside the network that are not of the backbone.

    Returns:
        Release: What it probably is.
    """
    names = network.weights
    parts = set(network.path.split('.'))
    arch = checkpoint.content.get('arch')  # in the linear probes of MoCo-v3
    outside = {part for name in network.dropped for part in name.split('.')}
    release = Release('ViT in the names of timm', antialias='reg_token' in names)
    moco = False
    if network.layout == 'mmpretrain':
        release = Release('mmpretrain')
        moco = 'momentum_encoder' in parts | outside
    elif network.layout == 'huggingface':
        release = Release('Hugging Face ViT', eps=1e-12)
        if 'embeddings.register_tokens' in names:
            release = Release('Hugging Face DINOv2 with registers', antialias=True)
        elif any(name.endswith('.lambda1') for name in names):
            release = Release('Hugging Face DINOv2')
    elif parts & {'base_encoder', 'momentum_encoder'} or arch == 'vit_small':
        release, moco = Release('MoCo-v3 release'), True
    elif any(name.startswith('decoder_') for name in dropped):
        release = Release('MAE release')
    elif 'target_encoder' in parts | outside:
        release = Release('MSN release')
    elif outside & {'head_recons', 'rec_head', 'recons_head'}:
        release = Release('SiT, MC-SSL or GMML release')
    elif 'mask_token' in names and names['mask_token'].ndim == 2:
        release = Release('DINOv2 release', antialias='register_tokens' in names)
    elif parts & {'teacher', 'student'}:
        release = Release('DINO or iBOT release')
    if moco and weights['patch_embed.projection.weight'].shape[:1] == (_MOCO_SMALL,):
        release.num_heads = _MOCO_SMALL // 32
    role = f' ({network.role})' if network.role != 'network' else ''
    form = f', {checkpoint.kind}' if checkpoint.kind in ('safetensors', 'onnx') else ''
    release.name = f'{family or release.name}{role}{form}'
    return release
