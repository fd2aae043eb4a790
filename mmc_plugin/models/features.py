"""The one way from images to features: tokens of any layers, of photographs of any size."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack

import torch
from mmengine.model import BaseModel
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ..checkpoints.metadata import IMAGENET_MEAN, IMAGENET_STD
from ..errors import InputError
from ..structures.dense_grid import shifted_features
from ..structures.image_frame import ImageFrame, canvas_size, check_fit

DEBIASES = ('mean', 'noise')


def patch_size_of(backbone: nn.Module) -> int:
    """Side of a patch of a ViT, in pixels.

    Raises:
        ValueError: If the module does not tell.
    """
    size = getattr(backbone, 'patch_size', None)
    if size is None and hasattr(backbone, 'patch_embed'):
        size = backbone.patch_embed.projection.kernel_size
    if isinstance(size, Sequence):
        if len(set(size)) != 1:
            raise InputError(f'Patches must be square, these are {tuple(size)} pixels.')
        size = size[0]
    if size is None:
        raise InputError(
            f'{type(backbone).__name__} has neither patch_size nor patch_embed: '
            'features of patches need a ViT.'
        )
    return int(size)


def weights_digest(backbone: nn.Module) -> str:
    """SHA-256 of what features follow from: weights, buffers and plain settings of all modules.

    Whatever file they came from; settings such as the number of heads show in no weight.
    """
    digest = hashlib.sha256(type(backbone).__name__.encode())
    for name, module in backbone.named_modules():
        settings = {
            key: value
            for key, value in vars(module).items()
            if isinstance(value, bool | int | float | str | tuple | list | dict | None)
            and not key.startswith('_')
            and key not in ('checkpoint', 'init_cfg', 'training')
        }
        digest.update(f'{name} {type(module).__name__} {sorted(settings.items())}'.encode())
    for name, value in backbone.state_dict().items():
        digest.update(f'{name} {value.dtype} {tuple(value.shape)}'.encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def layer_tokens(
    backbone: nn.Module, images: Tensor, layers: Sequence[int] = (-1,)
) -> tuple[list[Tensor], list[Tensor]]:
    """Class and patch tokens of some layers of a ViT, in one pass.

    The norm that follows the last layer is applied to all of them.

    Args:
        backbone (nn.Module): With all tokens of its last layer as the last output.
        images (Tensor): (B, 3, H, W), normalised.
        layers (Sequence[int]): L layers, from 0, or negative from the end.

    Returns:
        tuple[list[Tensor], list[Tensor]]: For each layer (B, D), and (B, h, w, D).

    Raises:
        ValueError: If the backbone has no such layer, or returns something else.
    """
    patch = patch_size_of(backbone)
    rows, columns = (-(-side // patch) for side in images.shape[-2:])
    depth = len(getattr(backbone, 'layers', '1'))
    wrong = [layer for layer in layers if not -depth <= layer < depth]
    if wrong or not layers:
        raise InputError(
            f'Layers are counted from 0 to {depth - 1} or from -1 to {-depth} in '
            f'this backbone, got {", ".join(map(str, wrong)) or "none"}.'
        )
    wanted = [layer % depth for layer in layers]
    found: dict[int, Tensor] = {}

    def keep(layer: int):
        def hook(module: nn.Module, inputs: tuple, output: Tensor) -> None:
            found[layer] = output

        return hook

    with ExitStack() as handles:
        for layer in set(wanted) - {depth - 1}:
            handles.enter_context(backbone.layers[layer].register_forward_hook(keep(layer)))
        last = backbone(images)[-1]
    if last.ndim != 3 or not last.is_floating_point():
        raise InputError(
            f'{type(backbone).__name__} does not return its tokens last, (B, 1 + N, D), but '
            f'{last.dtype} of shape {tuple(last.shape)}: export the model or load its checkpoint, '
            'which gives a plain vision transformer'
        )
    normed = getattr(backbone, 'final_norm', False)
    found = {key: backbone.ln1(each) if normed else each for key, each in found.items()}
    found[depth - 1] = last
    cls = [found[layer][:, 0] for layer in wanted]
    # Patches come last, whatever number of other tokens there is.
    grids = [found[layer][:, -rows * columns :].unflatten(1, (rows, columns)) for layer in wanted]
    return cls, grids


def _check_outputs(backbone: nn.Module) -> None:
    """Refuse a ViT that does not return all tokens of its last layer."""
    depth = len(getattr(backbone, 'layers', ''))
    if not depth:
        return
    indices = [index % depth for index in backbone.out_indices]
    if backbone.out_type != 'raw' or max(indices) != depth - 1:
        raise InputError(
            "FrozenFeatures needs all tokens of the backbone's last layer: build it with "
            f"out_type='raw' and out_indices=-1, not {backbone.out_type!r} and {indices}."
        )


@MODELS.register_module()
class FrozenFeatures(BaseModel):
    """Tokens of photographs, by a backbone without its gradients.

    Each photograph is resized to a square of ``size`` pixels, rounded to the nearest multiple of
    the patch size (476 for 480 and patches of 14), the larger of two.

    Args:
        backbone (dict | nn.Module): Config or module, with tokens (B, 1 + N, D) of its last layer
            as the last output: ``out_type='raw'`` of mmpretrain's ViT. It is put into evaluation
            mode and its parameters are frozen.
        size (int): Side of the square. Defaults to 480 [arXiv 2308.11448, point prompts].
        fit (str): ``'stretch'`` the photograph to the square; or keep its aspect and ``'pad'`` it
            at the right or the bottom, or ``'crop'`` its middle as k-NN does (224 of 256 pixels of
            the short side, see :class:`ImageFrame`). Sets of features also take ``'long'``: all of
            the photograph, its longer side ``size``. Defaults to 'stretch'.
        layer (int): Layer that the tokens come from, counted from 0, or from the end by negative
            numbers. Defaults to -1.
        stride (int, optional): Distance of tokens in pixels of the square, a divisor of the patch
            size: tokens of (patch / stride)² shifted passes are averaged. Defaults to None, the
            patch size.
        mean (Sequence[float], optional): RGB on the scale 0 … 255. Defaults to None: what the
            backbone's checkpoint says, else ImageNet's.
        std (Sequence[float], optional): Likewise.
        debias (str, optional): What a patch's place alone explains is taken away from the tokens of
            :meth:`grid`: as an image of the ``'mean'`` colour shows it, or 16 images of
            ``'noise'``; see :meth:`positional`. Defaults to None: nothing is.
        seed (int): Of the initial weights of a backbone given as a config without a checkpoint.
            Defaults to 0.
    """

    def __init__(
        self,
        backbone: dict | nn.Module,
        size: int = 480,
        fit: str = 'stretch',
        layer: int = -1,
        stride: int | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        debias: str | None = None,
        seed: int = 0,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        if isinstance(backbone, dict):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                backbone = MODELS.build(backbone)
                backbone.init_weights()
        _check_outputs(backbone)
        backbone.eval()  # no chain: mmpretrain's returns nothing
        self.backbone = backbone.requires_grad_(False)
        self.patch_size = patch_size_of(backbone)
        self.size = size
        self.fit = check_fit(fit)
        self.layer = layer
        self.stride = stride
        if debias not in (None, *DEBIASES):
            raise InputError(
                f"debias must be None, 'mean' or 'noise', got {debias!r}: the images that show "
                "what a patch's place alone explains."
            )
        self.debias = debias
        self._positional: dict[tuple, Tensor] = {}
        source = getattr(backbone, 'source', None)
        for name, given, default in (('mean', mean, IMAGENET_MEAN), ('std', std, IMAGENET_STD)):
            values = given or getattr(source, name, None) or default
            projection = getattr(getattr(backbone, 'patch_embed', None), 'projection', None)
            if getattr(projection, 'in_channels', 3) != 3:
                raise InputError(
                    f'The backbone takes images of {projection.in_channels} channels, and '
                    'photographs have 3: call it as load_backbone(...)(images) instead.'
                )
            if len(values) != 3 or (name == 'std' and min(values) <= 0):
                raise InputError(
                    f'{name} must be three numbers for red, green and blue'
                    f'{", above 0" if name == "std" else ""}, got {values}.'
                )
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> FrozenFeatures:
        """Frozen modules stay in evaluation mode."""
        super().train(False)
        return self

    def canvas(self, size: int | None = None) -> int:
        """Side of the square in pixels for a wanted one, by default the model's own."""
        return canvas_size(self.size if size is None else size, self.patch_size)

    def prepare(self, images: Sequence[Tensor], size: int | None = None) -> Tensor:
        """Resize and normalise photographs.

        Args:
            images (Sequence[Tensor]): B uint8 RGB tensors (3, height, width) of any sizes.
            size (int, optional): Side of the square, rounded as said above.

        Returns:
            Tensor: (B, 3, S, S) in the type of the backbone's weights.
        """
        canvas = self.canvas(size)
        placed = torch.stack(
            [
                ImageFrame(*image.shape[1:], canvas, self.fit).place(image.to(self.mean.device))
                for image in images
            ]
        )
        return self.normalise(placed)

    def normalise(self, images: Tensor) -> Tensor:
        """Normalise RGB (B, 3, H, W) in 0 … 255 to the type of the backbone's weights."""
        weights = next(self.backbone.parameters(), self.mean)
        return ((images.to(self.mean.device) - self.mean) / self.std).to(weights.dtype)

    def refuse_grid_settings(self) -> None:
        """Refuse what only :meth:`grid` heeds, where :meth:`tokens` are used."""
        for key, default in (('stride', self.patch_size), ('debias', None)):
            if getattr(self, key) not in (None, default):
                raise InputError(
                    f'model.{key} is for maps of patches: leave it at None where tokens are used '
                    'as the network gives them.'
                )

    @torch.no_grad()
    def tokens(
        self, images: Tensor, layers: Sequence[int] = (-1,)
    ) -> tuple[list[Tensor], list[Tensor]]:
        """:func:`layer_tokens` of images (B, 3, S, S) of :meth:`prepare`, without a graph."""
        return layer_tokens(self.backbone, images, layers)

    @torch.no_grad()
    def grid(self, images: Tensor, layer: int = -1, stride: int | None = None) -> Tensor:
        """Tokens on a grid as fine as ``stride``.

        Args:
            images (Tensor): (B, 3, S, S) of :meth:`prepare`.
            layer (int): As in :meth:`tokens`.
            stride (int, optional): Distance of tokens in pixels, a divisor of the patch size.

        Returns:
            Tensor: (B, S / stride, S / stride, D).
        """
        tokens = self._grid(images, layer, stride)
        if self.debias is None:
            return tokens
        key = tuple(images.shape[-2:]), layer, stride
        if key not in self._positional:
            self._positional[key] = self.positional(self.debias, *key)
        return tokens - self._positional[key].to(tokens)

    @torch.no_grad()
    def positional(
        self, images: str, size: tuple[int, int], layer: int = -1, stride: int | None = None
    ) -> Tensor:
        """What a patch's place alone explains of its tokens.

        Images that look the same everywhere are encoded: what their tokens differ by, in the mean
        over the images, comes from their places.

        Args:
            images (str): ``'mean'``, one image of the colour that is normalised to 0, or
                ``'noise'``, 16 images whose pixels are drawn from 0 … 255, the same each time.
            size (tuple[int, int]): Height and width in pixels.
            layer (int): As in :meth:`tokens`.
            stride (int, optional): As in :meth:`grid`.

        Returns:
            Tensor: (h, w, D), with mean 0 over the places.
        """
        if images == 'mean':
            pictures = [self.mean.expand(3, *size)]
        else:
            generator = torch.Generator().manual_seed(0)
            pictures = [
                torch.randint(256, (3, *size), generator=generator).float() for _ in range(16)
            ]
        grids = [self._grid(self.normalise(each[None]), layer, stride)[0] for each in pictures]
        mean = torch.stack(grids).mean(0)
        return mean - mean.mean((0, 1))

    def _grid(self, images: Tensor, layer: int, stride: int | None) -> Tensor:
        return shifted_features(
            lambda moved: self.tokens(moved, [layer])[1][0],
            images,
            self.patch_size,
            self.patch_size if stride is None else stride,
        )

    def forward(self, inputs: list[Tensor], data_samples: list | None = None, mode: str = 'tensor'):
        """Tokens of photographs.

        Args:
            inputs (list[Tensor]): B uint8 RGB tensors (3, height, width).
            data_samples (list, optional): B samples that the tokens are put into.
            mode (str): ``'tensor'`` or ``'predict'``.

        Returns:
            Tensor | list: For 'tensor' (B, h, w, D). For 'predict' the data samples, each with
            ``tokens`` (h, w, D) and, as metainfo, ``canvas`` and ``fit``.

        Raises:
            ValueError: In any other mode, since there is nothing to train.
        """
        if mode not in ('tensor', 'predict'):
            raise InputError(
                f"FrozenFeatures has the modes 'tensor' and 'predict', not {mode!r}: "
                'it is not trained.'
            )
        images = self.prepare(inputs)
        tokens = self.grid(images, self.layer, self.stride)
        if mode == 'tensor':
            return tokens
        for sample, each in zip(data_samples, tokens, strict=True):
            sample.tokens = each
            sample.set_metainfo(dict(canvas=images.shape[-1], fit=self.fit))
        return data_samples
