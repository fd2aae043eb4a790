"""Fixtures for all tests."""

import os
from pathlib import Path

import cv2
import pytest
import skimage
import sklearn
import torch

# Colour photographs in the wheels of two libraries, so that every machine has real images.
PHOTOGRAPHS = [
    Path(skimage.__file__).parent / 'data' / name
    for name in (
        'astronaut.png',
        'chelsea.png',
        'coffee.png',
        'hubble_deep_field.jpg',
        'ihc.png',
        'motorcycle_left.png',
        'retina.jpg',
        'rocket.jpg',
    )
] + [
    Path(sklearn.__file__).parent / 'datasets' / 'images' / name
    for name in ('china.jpg', 'flower.jpg')
]


@pytest.fixture(scope='session', autouse=True)
def one_thread():
    """Small tensors gain nothing from threads, and test machines are shared."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)


@pytest.fixture(scope='session')
def data_root() -> Path:
    """Folder with real data sets, named by ``MMC_DATA_ROOT``."""
    root = os.environ.get('MMC_DATA_ROOT')
    if not root:
        pytest.skip('MMC_DATA_ROOT does not name a folder with real data')
    path = Path(root).resolve()
    if not path.is_dir():
        pytest.fail(f'MMC_DATA_ROOT={root} is not a folder')
    return path


@pytest.fixture(scope='session')
def photographs() -> list[Path]:
    """Ten colour photographs on every machine."""
    return PHOTOGRAPHS


@pytest.fixture(scope='session')
def photo_folder(tmp_path_factory) -> Path:
    """Folder with ten photographs as JPEGs, short side at most 256 pixels. Do not write to it."""
    folder = tmp_path_factory.mktemp('photographs')
    for path in PHOTOGRAPHS:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        scale = min(1.0, 256 / min(image.shape[:2]))
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        assert cv2.imwrite(str(folder / f'{path.stem}.jpg'), image)
    return folder
