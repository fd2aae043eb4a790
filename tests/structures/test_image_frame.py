import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmc_plugin.structures import image_frame
from mmc_plugin.structures.image_frame import ImageFrame, canvas_size, centre_crop, check_fit

SIZES = st.integers(1, 90)


@st.composite
def frames(draw):
    height, width, patch = draw(SIZES), draw(SIZES), draw(st.integers(1, 9))
    cells = draw(st.integers(1, 8))
    frame = ImageFrame(height, width, patch * cells, draw(st.sampled_from(['stretch', 'pad'])))
    x = draw(st.floats(0, width, exclude_max=True))
    y = draw(st.floats(0, height, exclude_max=True))
    return frame, cells, (x, y)


@settings(max_examples=300, deadline=None)
@given(frames())
def test_a_point_falls_into_the_patch_that_its_pixel_covers_most(case):
    frame, cells, (x, y) = case
    mask = torch.zeros(1, frame.height, frame.width, dtype=torch.bool)
    mask[0, int(y), int(x)] = True
    coverage = frame.coverage(mask, cells, cells).flatten()
    index = frame.cell(torch.tensor([[x, y]], dtype=torch.float64), cells, cells)
    # A pixel larger than a patch covers several wholly; its centre is in one of them.
    assert coverage[index].item() == pytest.approx(coverage.max().item(), abs=1e-4)
    # Area is kept: what the cells see of the mask is the pixel on the canvas.
    below, right = frame.content
    area = below / frame.height * right / frame.width
    side = frame.canvas / cells
    assert coverage.sum().item() * side * side == pytest.approx(area, rel=1e-3)


@pytest.mark.parametrize('fit', ['stretch', 'pad'])
def test_every_pixel_falls_into_a_patch_that_it_covers_most(fit):
    for width in range(1, 24):
        for cells in range(1, 7):
            frame = ImageFrame(5, width, 60, fit)
            masks = torch.zeros(width, 5, width, dtype=torch.bool)
            masks[torch.arange(width), 2, torch.arange(width)] = True
            coverage = frame.coverage(masks, cells, cells).flatten(1)
            points = torch.stack([torch.arange(width), torch.full((width,), 2)], -1)
            index = frame.cell(points, cells, cells)
            found = coverage.gather(1, index[:, None])[:, 0]
            torch.testing.assert_close(found, coverage.amax(1), atol=1e-5, rtol=0)


@settings(max_examples=60, deadline=None)
@given(st.integers(20, 90), st.integers(20, 90), st.sampled_from(['stretch', 'pad']), st.data())
def test_resizing_and_padding_carry_what_was_clicked_into_its_patch(height, width, fit, data):
    cells = data.draw(st.integers(1, 4))
    frame = ImageFrame(height, width, 16 * cells, fit)
    x, y = data.draw(st.integers(2, width - 3)), data.draw(st.integers(2, height - 3))
    image = torch.zeros(1, height, width)
    image[0, y - 1 : y + 2, x - 1 : x + 2] = 1
    canvas = frame.place(image)
    assert canvas.shape == (1, frame.canvas, frame.canvas)
    if fit == 'pad':
        canvas = canvas * _content(frame)
    seen = F.avg_pool2d(canvas, 16).flatten()
    index = frame.cell(torch.tensor([x, y]), cells, cells)
    # On a border between patches the spot is seen by both.
    assert seen[index].item() >= 0.45 * seen.max().item()


def _content(frame):
    inside = torch.zeros(frame.canvas, frame.canvas)
    below, right = frame.content
    inside[:below, :right] = 1
    return inside


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 6), st.integers(1, 8))
def test_coverage_equals_counting_subpixels(height, width, rows, columns):
    frame = ImageFrame(height, width, rows * columns * 4)
    mask = torch.rand(2, height, width, generator=torch.Generator().manual_seed(height)) < 0.4
    fine = np.kron(mask.numpy(), np.ones((1, rows, columns)))  # a cell is whole subpixels
    expected = fine.reshape(2, rows, height, columns, width).mean((2, 4))
    np.testing.assert_allclose(frame.coverage(mask, rows, columns), expected, atol=1e-5)


def test_padding_keeps_the_aspect_and_covers_nothing():
    frame = ImageFrame(30, 60, 48, 'pad')
    assert frame.content == (24, 48)
    coverage = frame.coverage(torch.ones(1, 30, 60, dtype=torch.bool), 4, 4)
    assert torch.equal(coverage[0], torch.tensor([1.0, 1, 0, 0])[:, None].expand(4, 4))
    canvas = frame.place(torch.full((3, 30, 60), 7.0))
    torch.testing.assert_close(canvas, torch.full((3, 48, 48), 7.0))


def test_maps_come_back_to_the_image_without_shift():
    ramp = torch.arange(8.0)[:, None].expand(8, 8)[None]
    for fit in ('stretch', 'pad'):
        frame = ImageFrame(60, 120, 64, fit)
        back = frame.upsample(ramp)
        assert back.shape == (1, 60, 120)
        # A row's position on the canvas is that of its centre, in cells.
        scale = frame.content[0] / 60
        rows = ((torch.arange(60) + 0.5) * scale / 8 - 0.5).clamp(0, 7)
        torch.testing.assert_close(back[0], rows[:, None].expand(60, 120), atol=1e-5, rtol=0)


def test_both_ways_of_upsampling_agree_on_a_square_image():
    maps = torch.randn(3, 5, 5, generator=torch.Generator().manual_seed(0))
    frame = ImageFrame(37, 37, 40)
    grid = torch.stack(
        torch.meshgrid(*[(torch.arange(37) + 0.5) * 2 / 37 - 1] * 2, indexing='xy'), -1
    )[None]
    expected = F.grid_sample(maps[None], grid, padding_mode='border', align_corners=False)[0]
    torch.testing.assert_close(frame.upsample(maps), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize('point', [(10, 5), (-1, 5), (5, 8), (5, -0.1), (float('nan'), 2)])
def test_points_outside_are_refused(point):
    for fit in ('stretch', 'pad'):  # below the image there is padding, and it is outside, too
        with pytest.raises(ValueError, match=r'outside the image: x must be in 0 … 9 and y in 0'):
            ImageFrame(8, 10, 32, fit).cell(torch.tensor([(1.0, 1.0), point]), 4, 4)


@pytest.mark.parametrize(
    'size, patch, expected',
    [(480, 16, 480), (480, 14, 476), (480, 12, 480), (5, 16, 16), (24, 16, 32), (23, 16, 16)],
)
def test_sizes_are_rounded_to_the_patch(size, patch, expected):
    assert canvas_size(size, patch) == expected


def test_wrong_keys_are_named():
    with pytest.raises(ValueError, match="'stretch' .* 'pad' .* 'crop' .* or 'long'"):
        check_fit('cover')
    with pytest.raises(ValueError, match='size must be a positive'):
        canvas_size(0, 16)


@pytest.mark.parametrize('size', [(40, 900), (900, 41), (7, 500)])
@pytest.mark.parametrize('resize, crop', [(64, 56), (32, 48)])
def test_the_middle_of_a_long_image_is_that_of_the_whole_one_resized(
    size, resize, crop, monkeypatch
):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    image = Image.fromarray(pixels)
    found = centre_crop(image, resize, crop)
    monkeypatch.setattr(image_frame, '_LONGEST', 1000)
    expected = centre_crop(image, resize, crop)
    assert found.shape == expected.shape
    # The box is given to Pillow in single precision.
    assert (found.int() - expected.int()).abs().max() <= 1


def test_a_line_of_one_pixel_takes_no_more_memory_than_its_crop(monkeypatch):
    sizes, resize = [], Image.Image.resize

    def noted(image, size, *args, **kwargs):
        sizes.append(size)
        return resize(image, size, *args, **kwargs)

    monkeypatch.setattr(Image.Image, 'resize', noted)
    for shape in ((1, 60_000), (60_000, 1)):
        cut = centre_crop(Image.new('RGB', shape, (1, 2, 3)), 256, 224)
        assert cut.shape == (3, 224, 224) and cut.unique().tolist() == [1, 2, 3]
    assert max(width * height for width, height in sizes) == 256 * 224
