import numpy as np
from PIL import Image

from mmc_plugin.structures.palette import PALETTE, decode_palette, encode_palette


def test_the_palette_is_that_of_voc_and_davis():
    """The colour map by its published recipe, one index at a time; the first few by hand."""
    for index in range(256):
        colour, bits = [0, 0, 0], index
        for place in range(8):
            for channel in range(3):
                colour[channel] |= ((bits >> channel) & 1) << (7 - place)
            bits >>= 3
        assert PALETTE[index].tolist() == colour
    assert PALETTE[:4].tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]


def test_masks_of_davis_have_it(data_root):
    path = data_root / 'davis2017' / 'Annotations' / '480p' / 'libby' / '00000.png'
    with Image.open(path) as image:
        assert image.getpalette() == PALETTE.ravel().tolist()
        mask = np.array(image)
    assert np.array_equal(decode_palette(encode_palette(mask)), mask)


def test_files_are_images_of_indices(tmp_path):
    mask = np.arange(256, dtype=np.uint8).reshape(8, 32)
    path = tmp_path / 'mask.png'
    path.write_bytes(encode_palette(mask))
    with Image.open(path) as image:
        assert image.mode == 'P' and image.size == (32, 8)
        assert np.array_equal(np.array(image), mask)
        assert np.array_equal(np.array(image.convert('RGB')), PALETTE[mask])
