"""Recognises whose release a checkpoint is, and what its weights do not tell."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from .metadata import ModelMetadata
from .networks import Network

_MOCO_SMALL = 384  # channels; its heads have 32 of them


def recognise(
    network: Network, weights: Mapping[str, Tensor], content: Mapping, dropped: list[str]
) -> ModelMetadata:
    """What all models have that come from where this one does; releases of one layout are one.

    Args:
        network (Network): As it was found in the file.
        weights (Mapping[str, Tensor]): The same in the names of mmpretrain.
        content (Mapping): The file.
        dropped (list[str]): Names inside the network that are not of the backbone.
    """
    names = network.weights
    inside = set(network.path.split('.'))
    around = inside | {part for name in network.dropped for part in name.split('.')}
    moco = bool(around & {'base_encoder', 'momentum_encoder'})
    moco |= content.get('arch') == 'vit_small'  # in its linear probes
    dinov2 = 'mask_token' in names and names['mask_token'].ndim == 2
    # The first that holds: its name, whether its code resizes positions with antialiasing.
    rules = [
        (network.layout == 'mmpretrain', 'mmpretrain', False),
        ('embeddings.register_tokens' in names, 'Hugging Face DINOv2 with registers', True),
        (any(name.endswith('.lambda1') for name in names), 'Hugging Face DINOv2', False),
        (network.layout == 'huggingface', 'Hugging Face ViT', False),
        (moco, 'MoCo-v3 release', False),
        (any(name.startswith('decoder_') for name in dropped), 'MAE release', False),
        ('target_encoder' in around, 'MSN release', False),
        (around & {'head_recons', 'rec_head', 'recons_head'}, 'SiT, MC-SSL or GMML release', False),
        (dinov2, 'DINOv2 release', 'register_tokens' in names),
        (inside & {'teacher', 'student'}, 'DINO or iBOT release', False),
        (True, 'ViT in the names of timm', 'reg_token' in names),
    ]
    family, antialias = next((name, antialias) for holds, name, antialias in rules if holds)
    small = weights['patch_embed.projection.weight'].shape[:1] == (_MOCO_SMALL,)
    return ModelMetadata(
        num_heads=_MOCO_SMALL // 32 if moco and small else None,
        eps=1e-12 if family == 'Hugging Face ViT' else 1e-6,
        antialias=antialias,
        family=family,
    )
