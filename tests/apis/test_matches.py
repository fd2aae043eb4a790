import numpy as np
import pytest
import torch

from mmc_plugin.apis import PromptSegmenter, find_in_images, match_images
from mmc_plugin.datasets.transforms.loading import UnreadableImageError
from mmc_plugin.evaluation.functional.mutual_matches import mutual_matches
from mmc_plugin.models.features import FrozenFeatures

COLOUR = dict(type='PatchColour', patch_size=8)


def picture(seed=0, height=48, width=80):
    """Patches of 8 pixels, each of a colour of its own."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return cells.repeat(8, 0).repeat(8, 1)


def test_pairs_are_those_of_a_loop_and_fall():
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.randn(n, 5, generator=generator) for n in (40, 30))
    rows, columns, cosines = mutual_matches(one, other)
    unit = [each.double() / each.double().norm(dim=1, keepdim=True) for each in (one, other)]
    table = unit[0] @ unit[1].T
    expected = {
        (i, int(table[i].argmax()))
        for i in range(40)
        if int(table[:, int(table[i].argmax())].argmax()) == i
    }
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == expected
    assert 5 < len(expected) < 30
    np.testing.assert_allclose(cosines, table[rows, columns], atol=1e-6)
    assert (cosines.diff() <= 0).all()


@pytest.mark.parametrize('fit', ['stretch', 'pad'])
def test_a_click_is_found_where_its_patch_is(fit):
    segmenter = PromptSegmenter(FrozenFeatures(COLOUR, 80, fit))
    size = (80, 80) if fit == 'stretch' else (48, 80)
    image = picture(0, *size)
    moved = np.roll(image, (16, 24), (0, 1))
    same, there, alone = find_in_images(
        segmenter, image, (12, 20), [image, moved, picture(1, *size)]
    )
    assert same.point == (12, 20) and same.cosine == pytest.approx(1) and same.mutual
    assert there.point == (36, 36) and there.cosine == pytest.approx(1) and there.mutual
    assert alone.cosine < 0.9999 and alone.similarity.shape == size
    # The map is the cosine of the patch at its centre.
    x, y = there.point
    assert there.similarity[int(y), int(x)] > 0.9 and there.similarity.max() <= 1 + 1e-6


def test_patches_of_a_moved_image_are_matched():
    segmenter = PromptSegmenter(FrozenFeatures(COLOUR, 80, 'pad'))
    image = picture()
    one, other, cosines = match_images(segmenter, image, np.roll(image, (8, -16), (0, 1)))
    assert len(one) == 60  # all of them, and none in the padding
    np.testing.assert_allclose(cosines, 1, atol=1e-5)
    np.testing.assert_allclose(other, (one + (-16, 8)) % (80, 48))


def test_wrong_clicks_and_files_get_a_sentence(tmp_path):
    segmenter = PromptSegmenter(FrozenFeatures(COLOUR, 80))
    with pytest.raises(ValueError, match='lies outside the image'):
        find_in_images(segmenter, picture(), (80, 3), [picture()])
    (tmp_path / 'a.png').write_bytes(b'broken')
    with pytest.raises(UnreadableImageError, match='a.png'):
        find_in_images(segmenter, picture(), (3, 3), [str(tmp_path / 'a.png')])
