"""Loading and cutting views in one, so that no more of a photograph is decoded than they need."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mmpretrain.datasets.transforms import MultiView
from mmpretrain.registry import TRANSFORMS

from .image_headers import UndecodableError
from .jpeg_headers import JpegHeader, read_jpeg_header
from .loading import MAX_PIXELS, LoadImage
from .views import ViewCrop

_JPEG = b'\xff\xd8\xff'
# Our choice: views of photographs of 12 megapixels are then 1.3 grey levels, on average, from those
# of the whole photograph.
_SPARE = 2.0


@TRANSFORMS.register_module()
class LoadViews(LoadImage):
    """:class:`LoadImage`, then mmpretrain's ``MultiView`` whose views begin with :class:`ViewCrop`.

    Of a large JPEG the boxes of all views are drawn first, from its header, and it is decoded at
    1/2, 1/4 or 1/8 where each box still has twice the pixels of its view, a side.
    Distribution of boxes and all else is the same; the pixels are those of a crop of the whole
    photograph up to what the two filters differ in. Photographs below ``pixels``, and other
    formats, give what the two transforms give, to the bit.

    Required keys: as :class:`LoadImage`. Added keys: ``img``, list of uint8 (h, w, 3);
    ``img_shape`` and ``ori_shape`` of the image as decoded.

    Args:
        transforms (Sequence[Sequence[dict | Callable]]): Steps of each kind of view.
        num_views (Sequence[int]): Views of each kind.
        pixels (int): Photographs of as many and more are decoded smaller. Defaults to 2**21, our
            choice: below, half of all pairs of boxes with areas from 20 % on leave no room for it.
        max_pixels (int): As in :class:`LoadImage`.
        in_channels (int): As in :class:`LoadImage`; other than 3 nothing is decoded smaller.
        value_range (Sequence[float], optional): As in :class:`LoadImage`.

    Raises:
        UnreadableImageError: As :class:`LoadImage`.
    """

    def __init__(
        self,
        transforms: Sequence[Sequence[dict | Callable]],
        num_views: Sequence[int],
        pixels: int = 2**21,
        max_pixels: int = MAX_PIXELS,
        in_channels: int = 3,
        value_range: Sequence[float] | None = None,
    ) -> None:
        super().__init__(max_pixels, in_channels, value_range)
        self.views = MultiView(transforms, list(num_views))
        self.pixels = pixels
        crops = [pipeline.transforms[0] for pipeline in self.views.transforms]
        self._crops = crops if all(isinstance(each, ViewCrop) for each in crops) else None

    def transform(self, results: dict) -> dict:
        """Load ``results['img_path']`` and make its views."""
        data = self._read(results)
        reducible = self._crops and self.in_channels == 3 and data.startswith(_JPEG)
        header = _header(data) if reducible else None
        if header is None or header.pixels < self.pixels:
            results = self._decode(results, data, header=header)
            return self._cut(results, [None] * len(self.views.transforms))
        size = _upright_size(header)
        boxes = [crop.sample_box(*size) for crop in self._crops]
        room = min(
            side / (_SPARE * wanted)
            for box, crop in zip(boxes, self._crops, strict=True)
            for side, wanted in zip(box[2:], crop.size, strict=True)
        )
        reduction = max(factor for factor in (1, 2, 4, 8) if factor <= max(room, 1))
        results = self._decode(results, data, reduction, header)
        found = results['img'].shape[:2]
        # Of blocks of 8 pixels the last ones may reach beyond the picture: 1500 / 8 gives 188.
        exact = [
            each for each in (1, 2, 4, 8) if all(-(-s // each) == f for s, f in zip(size, found))
        ]
        scale = [1 / exact[0]] * 2 if exact else [f / s for f, s in zip(found, size)]
        return self._cut(results, [_scaled(box, scale, found) for box in boxes])

    def _cut(self, results: dict, boxes: Sequence[tuple[int, int, int, int] | None]) -> dict:
        """The views; their transforms leave the image as it is."""
        views = []
        for view, box in zip(self.views.transforms, boxes, strict=True):
            given = {} if box is None else dict(given_box=box)
            views.append(view(dict(results, **given))['img'])
        results['img'] = views
        return results


def _header(data: bytes) -> JpegHeader | None:
    """Header of a JPEG; None of what :class:`LoadImage` refuses."""
    try:
        return read_jpeg_header(data)
    except UndecodableError:
        return None


def _upright_size(header: JpegHeader) -> tuple[int, int]:
    """Height and width of a JPEG as EXIF turns it."""
    size = header.height, header.width
    return size[::-1] if header.orientation > 4 else size


def _scaled(
    box: tuple[int, int, int, int], scale: Sequence[float], size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """A box in a picture that is smaller, at least a pixel and inside of it."""
    ends = []
    for start, length, factor, side in zip(box[:2], box[2:], scale, size, strict=True):
        low = min(round(start * factor), side - 1)
        ends.append((low, min(max(round((start + length) * factor), low + 1), side) - low))
    (top, height), (left, width) = ends
    return top, left, height, width
