"""How an image lies on the canvas that a network sees, and the way back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional as TF

from ..errors import InputError

# Times the short side: of longer images only what a crop shows is resized, or a line of one pixel
# would take gigabytes.
_LONGEST = 16
FITS = ('stretch', 'pad', 'crop', 'long')


def check_fit(fit: str) -> str:
    """Give ``fit`` back, or say what it may be."""
    if fit not in FITS:
        raise InputError(
            f"fit must be 'stretch' (resized to the square), 'pad' (aspect kept, right or bottom "
            f"padded), 'crop' (aspect kept, the middle cut out) or 'long' (aspect kept, nothing "
            f'cut out or padded), got {fit!r}.'
        )
    return fit


def centre_crop(image: Image.Image, resize: int, crop: int) -> Tensor:
    """The middle of an image as the DINO release's k-NN evaluation cuts it.

    Args:
        image (Image): Of Pillow, whose bicubic filter does not alias when it makes images smaller.
        resize (int): Short side after resizing, in pixels.
        crop (int): Side of the square that is kept, in pixels.

    Returns:
        Tensor: uint8 (C, crop, crop).
    """
    short, long = sorted(image.size)
    whole = int(resize * long / short)  # the longer side, as torchvision has it
    if whole <= max(_LONGEST * resize, crop):
        image = TF.resize(image, resize, TF.InterpolationMode.BICUBIC)
    else:
        first = round((whole - crop) / 2)
        part = [first * long / whole, (first + crop) * long / whole]
        upright = image.height > image.width
        box = [0, part[0], short, part[1]] if upright else [part[0], 0, part[1], short]
        size = [resize, crop] if upright else [crop, resize]
        image = image.resize(size, Image.Resampling.BICUBIC, box)
    return TF.pil_to_tensor(TF.center_crop(image, [crop, crop]))


def short_side(crop: int) -> int:
    """What the short side is resized to before the middle is cut [DINO release, k-NN]."""
    return round(crop * 256 / 224)


def place_image(image: Image.Image, resize: int, canvas: int, fit: str) -> Tensor:
    """An image on the canvas that a network sees, of which the pixels are whole numbers.

    Args:
        image (Image): RGB, of Pillow.
        resize (int): For ``'crop'``, see :func:`centre_crop`.
        canvas (int): Side of the square; for ``'long'`` the most pixels of the longer side, and a
            smaller image stays as it is [DINO release, retrieval].
        fit (str): See :class:`ImageFrame`.

    Returns:
        Tensor: uint8 (3, canvas, canvas), for ``'long'`` (3, H, W).
    """
    if fit == 'crop':
        return centre_crop(image, resize, canvas)
    if fit == 'long':
        scale = min(1.0, canvas / max(image.size))
        size = [max(1, round(side * scale)) for side in image.size]
        return TF.pil_to_tensor(image.resize(size, Image.Resampling.LANCZOS))
    pixels = TF.pil_to_tensor(image)
    placed = ImageFrame(*pixels.shape[1:], canvas, fit).place(pixels)
    return placed.round().clamp(0, 255).byte()


def canvas_size(size: int, patch: int) -> int:
    """The multiple of the patch size that is nearest to a size, the larger of two, at least one.

    Args:
        size (int): Wanted side of the canvas in pixels.
        patch (int): Side of a patch in pixels.

    Returns:
        int: Side in pixels, such as 476 for 480 and patches of 14.
    """
    if size < 1:
        raise InputError(f'size must be a positive number of pixels, got {size}.')
    return max(1, math.floor(size / patch + 0.5)) * patch


@dataclass(frozen=True)
class ImageFrame:
    """An image of ``height`` × ``width`` pixels on a square canvas.

    With ``fit='stretch'`` it covers the canvas [arXiv 2308.11448, point prompts]. With ``'pad'``
    its longer side does and the canvas is padded at the right or the bottom. With ``'crop'`` the
    canvas shows the middle of the image, 224/256 of its short side [DINO release, k-NN]; points
    and masks have no place there. ``'long'`` is for sets of features only, see
    :func:`place_image`: it has no square canvas.

    A point (x, y) is in pixels of the image from its top left corner, 0 <= x < width and
    0 <= y < height; it stands for the centre of the pixel that holds it.
    """

    height: int
    width: int
    canvas: int
    fit: str = 'stretch'

    @property
    def content(self) -> tuple[int, int]:
        """Height and width of the image on the canvas, in pixels of the canvas."""
        if self.fit == 'crop':
            raise InputError(
                "fit='crop' shows the middle of an image only, so that points and masks cannot be "
                "placed: take 'stretch' or 'pad'."
            )
        if self.fit == 'long':
            raise InputError(
                "fit='long' gives images of different shapes, which only sets of features take: "
                "take 'stretch', 'pad' or 'crop'."
            )
        if self.fit == 'stretch':
            return self.canvas, self.canvas
        scale = self.canvas / max(self.height, self.width)
        return max(1, round(self.height * scale)), max(1, round(self.width * scale))

    def content_cells(self, rows: int, columns: int) -> tuple[int, int]:
        """Rows and columns of a grid over the canvas that hold the image, not its padding.

        Args:
            rows (int): Cells of the grid from top to bottom.
            columns (int): Cells of the grid from left to right.

        Returns:
            tuple[int, int]: To the nearest cell, at least 1 each.
        """
        below, right = self.content
        return (
            max(1, round(below * rows / self.canvas)),
            max(1, round(right * columns / self.canvas)),
        )

    def place(self, image: Tensor) -> Tensor:
        """Put the image on the canvas: bilinear with antialiasing, then padding.

        Args:
            image (Tensor): (C, height, width); for ``'crop'`` uint8 RGB, see :func:`centre_crop`.

        Returns:
            Tensor: float32 (C, canvas, canvas). Padding repeats nothing of the image, it has the
            mean of each channel.
        """
        if self.fit == 'crop':
            picture = TF.to_pil_image(image.cpu())
            cut = centre_crop(picture, short_side(self.canvas), self.canvas)
            return cut.to(image.device, torch.float32)
        # Channel by channel: the floats of a whole photograph take four times its memory.
        image = torch.cat(
            [
                F.interpolate(
                    channel[None, None].float(), self.content, mode='bilinear', antialias=True
                )[0]
                for channel in image
            ]
        )
        rows, columns = self.content
        if (rows, columns) == (self.canvas, self.canvas):
            return image
        canvas = image.mean((1, 2))[:, None, None].repeat(1, self.canvas, self.canvas)
        canvas[:, :rows, :columns] = image
        return canvas

    def cell(self, points: Tensor, rows: int, columns: int) -> Tensor:
        """Which cell of a grid over the canvas holds a point of the image.

        Args:
            points (Tensor): (…, 2) points (x, y).
            rows (int): Cells of the grid from top to bottom.
            columns (int): Cells of the grid from left to right.

        Returns:
            Tensor: int64 (…, ), cells counted row by row from the top left.

        Raises:
            ValueError: If a point lies outside the image, which includes all padding.
        """
        pixel = points.double().floor()
        x, y = pixel.unbind(-1)
        # Written so that NaN is refused, too.
        inside = (x >= 0) & (x < self.width) & (y >= 0) & (y < self.height)
        if not inside.all():
            wrong = tuple(points[~inside][0].tolist())
            raise InputError(
                f'The point {wrong} lies outside the image: x must be in 0 … '
                f'{self.width - 1} and y in 0 … {self.height - 1}.'
            )
        below, right = self.content
        column = (x + 0.5) * right / self.width * columns / self.canvas
        row = (y + 0.5) * below / self.height * rows / self.canvas
        return row.long().clamp(max=rows - 1) * columns + column.long().clamp(max=columns - 1)

    def coverage(self, masks: Tensor, rows: int, columns: int) -> Tensor:
        """Which part of each cell of a grid over the canvas a mask covers, exactly.

        Args:
            masks (Tensor): bool (M, height, width).
            rows (int): Cells of the grid from top to bottom.
            columns (int): Cells of the grid from left to right.

        Returns:
            Tensor: float32 (M, rows, columns) in [0, 1].
        """
        below, right = self.content
        vertical = self._overlap(rows, self.height, self.canvas / below, masks.device)
        horizontal = self._overlap(columns, self.width, self.canvas / right, masks.device)
        return (vertical @ masks.float() @ horizontal.T).clamp(0, 1)

    @staticmethod
    def _overlap(cells: int, pixels: int, stretch: float, device: torch.device) -> Tensor:
        """(cells, pixels): the part of each cell that each pixel covers.

        ``stretch`` is the length of the canvas over that of the image on it.
        """
        edges = torch.arange(cells + 1, dtype=torch.float64, device=device)
        edges = edges * (pixels * stretch / cells)
        pixel = torch.arange(pixels, dtype=torch.float64, device=device)
        low = torch.maximum(edges[:-1, None], pixel)
        high = torch.minimum(edges[1:, None], pixel + 1)
        return ((high - low).clamp(min=0) / (edges[1] - edges[0])).float()

    def upsample(self, maps: Tensor) -> Tensor:
        """Bring maps over the canvas to the size of the image, bilinearly.

        Args:
            maps (Tensor): float (P, h, w), over the whole canvas.

        Returns:
            Tensor: float (P, height, width), values beyond the outer cells' centres repeated.
        """
        size = self.height, self.width
        below, right = self.content
        if (below, right) == (self.canvas, self.canvas):
            return F.interpolate(maps[None], size, mode='bilinear', align_corners=False)[0]
        y, x = (
            (torch.arange(n, dtype=torch.float32, device=maps.device) + 0.5)
            * 2
            * content
            / (n * self.canvas)
            - 1
            for n, content in zip(size, (below, right), strict=True)
        )
        grid = torch.stack(torch.meshgrid(x, y, indexing='xy'), -1)[None]  # (1, H, W, 2)
        return F.grid_sample(
            maps[None], grid, mode='bilinear', padding_mode='border', align_corners=False
        )[0]
