import pytest
import torch

from mmc_plugin.evaluation.image_batches import ImageBatches, pixel_hashes


def test_hashes_are_equal_for_equal_pixels_only():
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (7, 3, 32, 32), dtype=torch.uint8, generator=generator)
    hashes = pixel_hashes(pixels)
    assert len(hashes.unique()) == 7 and torch.equal(hashes, pixel_hashes(pixels.clone()))
    for place in [(0, 0, 0), (1, 3, 31), (2, 31, 31)]:
        other = pixels.clone()
        other[(0, *place)] ^= 128
        assert pixel_hashes(other)[0] != hashes[0]


@pytest.mark.parametrize('size', [(5, 3), (1, 1), (8, 8)])
def test_any_number_of_bytes_has_a_hash_that_counts_the_last(size):
    pixels = torch.full((2, 3, *size), 7, dtype=torch.uint8)
    pixels[1, -1, -1, -1] = 8
    assert len(pixel_hashes(pixels).unique()) == 2


def test_images_that_differ_in_two_high_bytes_are_told_apart():
    """A sum modulo 2⁶⁴ of words of eight bytes would often be the same for these."""
    pixels = torch.zeros(4096, 3, 8, 8, dtype=torch.uint8)
    flat = pixels.flatten(1)
    flat[:, 7], flat[:, 15] = torch.arange(64).repeat(64), torch.arange(64).repeat_interleave(64)
    assert len(pixel_hashes(pixels).unique()) == 4096


def test_batches_are_read_again_from_memory():
    class Images:
        paths, crop, fit, seen = ['a'] * 5, 4, 'crop', 0

        def __len__(self):
            return 5

        def __getitem__(self, index):
            self.seen += 1
            return torch.full((3, 4, 4), index, dtype=torch.uint8), True

    images = Images()
    batches = ImageBatches(images, 2, num_workers=0)
    first, second = ([images[:, 0, 0, 0].tolist() for images, _ in batches] for _ in '12')
    assert first == second == [[0, 1], [2, 3], [4]] and images.seen == 5
    assert batches.gather(torch.arange(5)).tolist() == [0, 1, 2, 3, 4]
