import re

import numpy as np
import pytest
from PIL import Image

from mmc_plugin.datasets.davis import DavisVideos, read_objects
from mmc_plugin.datasets.palette_prompts import read_palette
from mmc_plugin.structures.palette import encode_palette


def about(root, idx=0):
    return DavisVideos(str(root))[idx]['data_samples']


def test_a_sample_is_a_video_with_all_its_files(davis, video):
    dataset = DavisVideos(str(davis))
    assert len(dataset) == 2
    sample = dataset[0]
    clip, found = sample['inputs'], sample['data_samples']
    frames, masks = video
    assert found.sequence == 'both' and found.sample_idx == 0 and found.skipped is None
    assert [path[-15:] for path in found.mask_paths] == [f'/both/{i:05d}.png' for i in range(7)]
    assert list(clip.frames) == found.frame_paths and len(clip) == 7
    assert np.array_equal(clip.first_mask, masks[0])
    for _ in range(2):  # it can be read again
        for frame, expected in zip(clip, frames, strict=True):
            assert np.abs(frame.astype(int) - expected).mean() < 6  # RGB, but for JPEG


def test_shared_sequences_are_whole(data_root):
    dataset = DavisVideos(str(data_root / 'davis2017'))
    lengths = [len(dataset[i]['inputs']) for i in range(len(dataset))]
    assert lengths == [50, 40, 49]
    assert all(dataset[i]['inputs'].first_mask.max() == 1 for i in range(3))


def replace_mask(root, place, mask):
    (root / 'Annotations' / '480p' / 'both' / f'{place:05d}.png').write_bytes(encode_palette(mask))


def remove(root, *parts):
    root.joinpath(*parts).unlink()


@pytest.mark.parametrize(
    'spoil, words',
    [
        (
            lambda root: remove(root, 'JPEGImages', '480p', 'both', '00003.jpg'),
            '1 of its frames are missing, the first is 00003',
        ),
        (
            lambda root: remove(root, 'Annotations', '480p', 'both', '00000.png'),
            '1 of its masks are missing, the first is 00000',
        ),
        (
            lambda root: replace_mask(root, 2, np.zeros((60, 128), np.uint8)),
            r'00002.png. has 128×60 pixels, the first frame 128×64',
        ),
        (
            lambda root: replace_mask(root, 0, np.zeros((64, 128), np.uint8)),
            r'the first mask .*00000.png. has no object',
        ),
        (
            lambda root: replace_mask(root, 0, np.full((64, 128), 255, np.uint8)),
            r'the first mask .*00000.png. has no object',
        ),
        (
            lambda root: (root / 'JPEGImages' / '480p' / 'both' / '00004.jpg').write_bytes(b'no'),
            r'00004.jpg. cannot be read',
        ),
        (
            lambda root: Image.new('RGB', (128, 64)).save(
                root / 'Annotations' / '480p' / 'both' / '00000.png'
            ),
            r'00000.png. has colours \(mode RGB\)',
        ),
        (
            lambda root: (root / 'ImageSets' / '2017' / 'val.txt').write_text('gone\none\n'),
            r"the folder '.*gone' does not exist",
        ),
    ],
)
def test_what_cannot_be_used_is_skipped_with_a_sentence(davis, spoil, words):
    spoil(davis)
    sample = DavisVideos(str(davis))[0]
    assert sample['inputs'] is None
    path, reason = sample['data_samples'].skipped
    assert path.startswith(str(davis / 'JPEGImages' / '480p'))
    assert re.search(words, reason), reason
    assert about(davis, 1).skipped is None


def test_two_frames_are_too_few(davis):
    for place in range(2, 7):
        remove(davis, 'JPEGImages', '480p', 'both', f'{place:05d}.jpg')
        remove(davis, 'Annotations', '480p', 'both', f'{place:05d}.png')
    assert 'at least three are needed' in about(davis).skipped[1]


def test_void_is_background(davis):
    mask = np.zeros((64, 128), np.uint8)
    mask[:9], mask[20:30] = 255, 2
    replace_mask(davis, 0, mask)
    path = str(davis / 'Annotations' / '480p' / 'both' / '00000.png')
    assert read_palette(path).max() == 255
    assert np.array_equal(read_objects(path), np.where(mask == 255, 0, mask))


def test_folders_and_lists_that_are_not_there(davis):
    with pytest.raises(FileNotFoundError, match='set test_dataloader.dataset.data_root'):
        DavisVideos(str(davis / 'nowhere'))
    with pytest.raises(FileNotFoundError, match='train.txt.* does not exist'):
        DavisVideos(str(davis), split='train')
    (davis / 'ImageSets' / '2017' / 'val.txt').write_text('\n')
    with pytest.raises(ValueError, match='names no sequence'):
        DavisVideos(str(davis))
