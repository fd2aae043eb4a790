import pickle

import numpy as np
import pytest

from mmc_plugin.datasets.cifar import CifarImages


def batches(classes, per_file=6):
    """Names of files, pixels (N, 3, 32, 32) and labels, as the release has them."""
    rng = np.random.default_rng(classes)
    names = ['train', 'test'] if classes == 100 else [*(f'data_batch_{i}' for i in range(1, 6))]
    names += [] if classes == 100 else ['test_batch']
    return {
        name: (
            rng.integers(0, 256, (per_file, 3, 32, 32), dtype=np.uint8),
            [0, classes - 1] * 2 + rng.integers(0, classes, per_file - 4).tolist(),
        )
        for name in names
    }


def write_pickles(root, classes, bytes_keys=False):
    folder = root / ('cifar-10-batches-py' if classes == 10 else 'cifar-100-python')
    folder.mkdir(parents=True)
    for name, (pixels, labels) in batches(classes).items():
        key = 'labels' if classes == 10 else 'fine_labels'
        content = {'data': pixels.reshape(len(pixels), -1), key: labels, 'batch_label': name}
        if bytes_keys:
            content = {each.encode(): value for each, value in content.items()}
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    return folder


def write_binary(root, classes):
    folder = root / ('cifar-10-batches-bin' if classes == 10 else 'cifar-100-binary')
    folder.mkdir(parents=True)
    for name, (pixels, labels) in batches(classes).items():
        columns = [np.array(labels, np.uint8)[:, None], pixels.reshape(len(pixels), -1)]
        if classes == 100:
            columns.insert(0, np.full((len(pixels), 1), 7, np.uint8))  # the coarse label
        (folder / f'{name}.bin').write_bytes(np.concatenate(columns, 1).tobytes())
    return folder


@pytest.mark.parametrize('classes', [10, 100])
@pytest.mark.parametrize('form', ['pickles', 'bytes', 'binary'])
@pytest.mark.parametrize('inside', [True, False])
def test_reads_both_formats(tmp_path, classes, form, inside):
    if form == 'binary':
        folder = write_binary(tmp_path, classes)
    else:
        folder = write_pickles(tmp_path, classes, form == 'bytes')
    for split, number in (('train', 30 if classes == 10 else 6), ('test', 6)):
        source = CifarImages(str(folder if inside else tmp_path), split, classes)
        names = [name for name in batches(classes) if ('test' in name) == (split == 'test')]
        pixels = np.concatenate([batches(classes)[name][0] for name in names])
        assert source.labels == [each for name in names for each in batches(classes)[name][1]]
        assert len(source) == number
        images = source.images(32, 32, 'stretch')
        found = np.stack([images[i][0].numpy() for i in range(number)])
        assert (found == pixels).all() and all(images[i][1] for i in range(number))


def test_what_is_wrong_gets_a_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match='neither cifar-10-batches-py nor cifar-10'):
        CifarImages(str(tmp_path), 'train')
    with pytest.raises(ValueError, match="10 or 100 classes .* got 20 and 'train'"):
        CifarImages(str(tmp_path), 'train', 20)
    folder = write_pickles(tmp_path / 'a', 10)
    (folder / 'test_batch').write_bytes(pickle.dumps(dict(data=[1], labels=[2])))
    with pytest.raises(ValueError, match='test_batch is no batch of CIFAR'):
        CifarImages(str(tmp_path / 'a'), 'test')

    class Runs:
        def __reduce__(self):
            return print, ('it ran',)

    (folder / 'test_batch').write_bytes(pickle.dumps(Runs()))
    with pytest.raises(ValueError, match='print, code that would run'):
        CifarImages(str(tmp_path / 'a'), 'test')
    folder = write_binary(tmp_path / 'b', 10)
    whole = (folder / 'test_batch.bin').read_bytes()
    (folder / 'test_batch.bin').write_bytes(whole[:-1])
    with pytest.raises(ValueError, match='cut short'):
        CifarImages(str(tmp_path / 'b'), 'test')
    (folder / 'test_batch.bin').write_bytes(bytes([200]) + whole[1:])
    with pytest.raises(ValueError, match='are not 0 to 9'):
        CifarImages(str(tmp_path / 'b'), 'test')
