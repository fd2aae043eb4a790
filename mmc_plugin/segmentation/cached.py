"""A segmentor that runs its frozen backbone once for each image."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmseg.models import EncoderDecoder
from mmseg.registry import MODELS
from torch import Tensor

from ..durable import written_whole
from ..errors import InputError
from ..models.features import weights_digest
from ..version import __version__


@MODELS.register_module()
class CachedEncoderDecoder(EncoderDecoder):
    """mmseg's ``EncoderDecoder`` that keeps the features of a frozen backbone on disk.

    A file holds all layers of one image in half precision. Its name is a hash of the image's pixels
    as the backbone gets them and of the backbone itself (settings and weights), so that whatever is
    read is what the backbone would give, in this run and in later ones. Training, validation and
    test share the files; so do processes.

    Only for pipelines without random augmentation and for whole-image tests.

    Args:
        cache_dir (str): Folder for the files. Four layers of ViT-S take 3 kB a token: 2.1 MB for
            an image of 480×368 and patch 16.
        **kwargs: Of ``EncoderDecoder``.

    Raises:
        ValueError: If the backbone is not frozen, the test slides a window, or there is a neck or
            an auxiliary head.
    """

    def __init__(self, *, cache_dir: str, **kwargs) -> None:
        super().__init__(**kwargs)
        if any(p.requires_grad for p in self.backbone.parameters()):
            raise InputError('CachedEncoderDecoder needs a frozen backbone: set frozen=True in it')
        if self.with_neck or self.with_auxiliary_head:
            raise InputError('CachedEncoderDecoder has no place for a neck or an auxiliary head')
        if self.test_cfg.get('mode', 'whole') != 'whole':
            raise InputError("CachedEncoderDecoder needs model.test_cfg.mode='whole'")
        self.cache_dir = Path(cache_dir)
        self._settings = repr((__version__, sorted(dict(kwargs['backbone']).items())))
        self._identity: tuple[int, bytes] | None = None
        self._seen: dict[str, Path] = {}

    def loss(self, inputs: Tensor, data_samples: list) -> dict[str, Tensor]:
        """Losses of the decode head on cached features, as ``EncoderDecoder.loss``.

        Raises:
            ValueError: If an image comes with other pixels than the time before.
        """
        files = self._cache_files(inputs)
        for file, sample in zip(files, data_samples, strict=True):
            if self._seen.setdefault(sample.img_path, file) != file:
                raise InputError(
                    f'{sample.img_path} came with other pixels than before, and features can only '
                    'be kept where they stay the same: take random steps such as RandomFlip out '
                    "of the training pipeline, or use type='EncoderDecoder'"
                )
        return self._decode_head_forward_train(self._cached_features(inputs, files), data_samples)

    def extract_feat(self, inputs: Tensor) -> list[Tensor]:
        """Features of each layer, (B, D, h, w), as ``EncoderDecoder.extract_feat``."""
        return self._cached_features(inputs, self._cache_files(inputs))

    def _cache_files(self, inputs: Tensor) -> list[Path]:
        """Where the features of each image are, or will be."""
        state = self.backbone.state_dict()
        changes = sum(value._version for value in state.values())  # loading weights counts up
        if self._identity is None or self._identity[0] != changes:
            digest = hashlib.sha256((self._settings + weights_digest(self.backbone)).encode())
            self._identity = changes, digest.digest()
            self._seen.clear()
        pixels = inputs.detach().float().cpu().numpy()
        start = self._identity[1] + repr(pixels.shape[1:]).encode()
        digests = [hashlib.sha256(start + each.tobytes()).hexdigest() for each in pixels]
        return [self.cache_dir / f'{digest}.npy' for digest in digests]

    def _cached_features(self, inputs: Tensor, files: Sequence[Path]) -> list[Tensor]:
        missing = [i for i, file in enumerate(files) if not file.is_file()]
        if missing:
            with torch.no_grad(), torch.autocast(inputs.device.type, enabled=False):
                layers = torch.stack(super().extract_feat(inputs[missing].float()), 1)
            for i, each in zip(missing, layers.half().cpu().numpy(), strict=True):
                with written_whole(str(files[i])) as path:
                    np.save(path, each)
        layers = torch.from_numpy(np.stack([np.load(file) for file in files], 1))
        return list(layers.to(inputs.device).float())  # (L, B, D, h, w)
