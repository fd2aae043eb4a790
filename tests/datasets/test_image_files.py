import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from mmc_plugin.datasets.image_files import ImageFiles, scan_labelled


def save(path, size=(20, 12), seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_equals_torchvision_on_pillow(tmp_path):
    path = save(tmp_path / 'a.png')
    image, ok = ImageFiles([str(path)], resize=9, crop=8)[0]
    reference = transforms.Compose(
        [
            transforms.Resize(9, transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(8),
            transforms.PILToTensor(),
        ]
    )(Image.open(path))
    assert ok and torch.equal(image, reference)


def test_broken_file_is_black_and_said(tmp_path):
    path = tmp_path / 'a.jpg'
    path.write_bytes(b'\xff\xd8 nothing')
    image, ok = ImageFiles([str(path)], 8, 8)[0]
    assert not ok and image.shape == (3, 8, 8) and not image.any()


def test_scans_one_folder_per_class(tmp_path):
    for name in ['b/1.png', 'a/x/2.png', 'a/1.png', 'a-b/1.png', 'loose.png']:
        save(tmp_path / name)
    (tmp_path / 'b' / '0.png').touch()  # to be listed as unreadable
    (tmp_path / 'notes').mkdir()
    paths, labels, classes = scan_labelled(str(tmp_path))
    assert classes == ['a', 'a-b', 'b']
    assert {
        path[len(str(tmp_path)) + 1 :]: classes[label]
        for path, label in zip(paths, labels, strict=True)
    } == {'a/1.png': 'a', 'a/x/2.png': 'a', 'a-b/1.png': 'a-b', 'b/0.png': 'b', 'b/1.png': 'b'}
    assert scan_labelled(str(tmp_path), ['b', 'a-b', 'a', 'c'])[1] == [
        2 - label for label in labels
    ]


def test_refuses_in_a_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match='There is no folder'):
        scan_labelled(str(tmp_path / 'none'))
    with pytest.raises(ValueError, match='no class folders'):
        scan_labelled(str(tmp_path))
    save(tmp_path / 'a' / '1.png')
    with pytest.raises(ValueError, match='training folder lacks: a'):
        scan_labelled(str(tmp_path), ['b'])
