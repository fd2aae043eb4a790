import importlib.util
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

TOOL = Path(__file__).parents[2] / 'tools' / 'analysis' / 'knn_pixels.py'
SIDE = 8


@pytest.fixture
def knn_pixels(monkeypatch):
    """The tool's main with a command line."""
    spec = importlib.util.spec_from_file_location('knn_pixels', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(*arguments) -> None:
        monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, arguments)])
        module.main()

    return run


def make_folder(root: Path, each: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Three classes of noise about a grey of their own; their RGB pixels in [0, 1] and labels."""
    rng = np.random.default_rng(seed)
    images, labels = [], []
    for label, name in enumerate('abc'):
        (root / name).mkdir(parents=True)
        template = np.random.default_rng(label).normal(0, 9, (SIDE, SIDE, 3))
        for number in range(each):
            image = 128 + template + rng.normal(0, 40, template.shape)
            image = image.round().clip(0, 255).astype(np.uint8)
            assert cv2.imwrite(str(root / name / f'{number}.png'), image)
            images.append(image[..., ::-1] / 255)
            labels.append(label)
    return np.stack(images).transpose(0, 3, 1, 2).reshape(len(images), -1), np.array(labels)


def slow_accuracy(train, train_labels, val, val_labels, k: int) -> float:
    """Percent right by weighted votes (DINO release, temperature 0.07), one image at a time."""
    mean, right = train.mean(0), 0
    for query, label in zip(val - mean, val_labels, strict=True):
        cosine = [
            query @ each / np.linalg.norm(query) / np.linalg.norm(each) for each in train - mean
        ]
        votes = np.zeros(3)
        for index in np.argsort(cosine)[::-1][:k]:
            votes[train_labels[index]] += np.exp(cosine[index] / 0.07)
        right += votes.argmax() == label
    return 100 * right / len(val)


def test_knn_on_pixels_equals_a_slow_one(knn_pixels, tmp_path, capsys):
    train = make_folder(tmp_path / 'train', 12, 10)
    val = make_folder(tmp_path / 'val', 9, 11)
    (tmp_path / 'train' / 'b' / 'broken.png').write_bytes(b'\x89PNG nothing')  # is left out
    expected = [slow_accuracy(*train, *val, k) for k in (1, 5)]
    assert 34 < min(expected) and max(expected) < 99  # neither chance nor trivial
    knn_pixels(tmp_path / 'train', tmp_path / 'val', '--side', SIDE, '--k', 1, 5)
    said = capsys.readouterr().out.splitlines()
    assert f'  {tmp_path / "train" / "b" / "broken.png"}' in said
    lines = [line for line in said if line.startswith('k = ')]
    assert lines == [f'k = {k}: {value:.2f} %' for k, value in zip((1, 5), expected, strict=True)]


def test_bad_folders_are_one_sentence(knn_pixels, tmp_path, capsys):
    make_folder(tmp_path / 'train', 1, 10)
    make_folder(tmp_path / 'val', 1, 11)
    (tmp_path / 'val' / 'c').rename(tmp_path / 'val' / 'unknown')
    for arguments, words in [
        ((tmp_path / 'none', tmp_path / 'val'), 'no folder'),
        ((tmp_path / 'train', tmp_path / 'val'), 'unknown'),
    ]:
        with pytest.raises(SystemExit) as stop:
            knn_pixels(*arguments)
        assert stop.value.code == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith('error: ') and words in error
