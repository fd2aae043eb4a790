"""mmpretrain's own methods on our views, as our hooks, tools and exporters ask for them."""

from __future__ import annotations

from collections.abc import Mapping

from mmpretrain.models.selfsup import MAE, MoCoV3
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ...errors import InputError
from ..features import patch_size_of
from .checks import check_inputs
from .seen import Seen


class _HostMethod:
    """What :class:`PretrainingMethod` asks of a method that moves its teacher by itself."""

    reconstructs = False  # not in the pixels of the corrupted image that pictures show

    def __init__(self, *args, data_preprocessor: dict | None = None, **kwargs) -> None:
        preprocessor = dict(type='ViewDataPreprocessor') | dict(data_preprocessor or {})
        super().__init__(*args, data_preprocessor=preprocessor, **kwargs)
        self.patch_size = patch_size_of(self.backbone)

    def network(self, name: str) -> nn.Module:
        """The backbone of the ``'student'``, or of the ``'teacher'``, where there is one."""
        if name not in ('teacher', 'student'):
            raise InputError(f"network must be 'teacher' or 'student', got {name!r}.")
        return self.backbone

    def encode_clean(self, backbone: nn.Module, images: Tensor) -> None:
        """One forward of all patches; the tokens are taken from its last norm."""
        backbone(images)

    def extract_feat(self, inputs: Tensor, network: str = 'teacher') -> tuple[Tensor, Tensor]:
        """Normalised images (B, 3, H, W) → class tokens (B, D) and patch tokens (B, N, D).

        Whatever the backbone hands to its neck, these are all tokens after the last norm.
        """
        backbone, found = self.network(network), []
        handle = backbone.ln1.register_forward_hook(lambda module, args, out: found.append(out))
        with handle:
            self.encode_clean(backbone, inputs)
        return found[-1][:, 0], found[-1][:, 1:]

    def seen(self, inputs: Mapping, noise: Tensor | None = None) -> Seen:
        """The views as they are."""
        return Seen(inputs['views'])

    def momentum_at(self, iteration: int, max_iters: int) -> None:
        """None: the method has no teacher, or moves it in its forward."""

    def begin_epoch(self, epoch: int) -> None:
        """Nothing goes by epochs."""

    def update_teacher(self, momentum: float) -> None:
        """Never called."""

    def reconstruct_layers(self, images: Tensor, layers: list[int]) -> Tensor:
        """Refused: see :attr:`reconstructs`."""
        raise InputError(f'{type(self).__name__} has no reconstruction head for pictures.')


@MODELS.register_module()
class ViewMoCoV3(_HostMethod, MoCoV3):
    """:class:`mmpretrain.models.MoCoV3` on ``views`` (2, B, 3, H, W); its arguments."""

    def network(self, name: str) -> nn.Module:
        """The momentum encoder's backbone is the ``'teacher'``."""
        student = super().network(name)
        return self.momentum_encoder.module[0] if name == 'teacher' else student

    def loss(self, inputs: dict, data_samples: list | None = None) -> dict[str, Tensor]:
        """The host's loss of the two views; it moves the momentum encoder."""
        check_inputs(self, inputs, crops=False)
        if self.training and inputs['views'].shape[1] == 1:
            raise InputError(
                'MoCo v3 cannot normalise a batch of one image by batch norm: raise '
                'train_dataloader.batch_size, and keep drop_last=True.'
            )
        return super().loss(list(inputs['views']), data_samples)


@MODELS.register_module()
class ViewMAE(_HostMethod, MAE):
    """:class:`mmpretrain.models.MAE` on ``views`` (1, B, 3, H, W); its arguments.

    It has no teacher: the student is what is evaluated and exported.
    """

    def encode_clean(self, backbone: nn.Module, images: Tensor) -> None:
        """Without its mask."""
        backbone(images, mask=None)

    def seen(self, inputs: Mapping, noise: Tensor | None = None) -> Seen:
        """The view, and patches to mask as the backbone draws them anew in each step."""
        views = inputs['views']
        patches = views.shape[-2] * views.shape[-1] // self.patch_size**2
        rows = views.new_zeros(views.shape[1], patches, 1)
        _, masked, _ = self.backbone.random_masking(rows, self.backbone.mask_ratio)
        return Seen(views, 'masked', masked.bool()[None])

    def loss(self, inputs: dict, data_samples: list | None = None) -> dict[str, Tensor]:
        """The host's loss of the view."""
        check_inputs(self, inputs, views=1, crops=False)
        return super().loss(inputs['views'][0], data_samples)
