import pytest
from PIL import Image

from mmc_plugin.datasets.split_file import SplitFile


def split(root, absent=()):
    (root / 'images').mkdir(parents=True, exist_ok=True)
    rows = ['filename,label']
    for label in ('n02', 'n01'):
        for i in range(3):
            name = f'{label}{i}.jpg'
            rows.append(f'{name},{label}')
            if name not in absent:
                Image.new('RGB', (9, 9)).save(root / 'images' / name)
    (root / 'test.csv').write_text('\n'.join(rows) + '\n')
    return str(root)


def test_reads_names_and_classes(tmp_path):
    source = SplitFile(split(tmp_path), 'test.csv')
    assert source.classes == ['n01', 'n02'] and source.labels == [1, 1, 1, 0, 0, 0]
    assert source.paths[0] == str(tmp_path / 'images' / 'n020.jpg') and not source.absent


def test_absent_images_are_left_out_and_named(tmp_path):
    source = SplitFile(split(tmp_path, ['n021.jpg', 'n012.jpg']), 'test.csv', max_images=3)
    assert len(source) == 3
    assert [path[-8:] for path in source.absent] == ['n021.jpg', 'n012.jpg']


def test_what_is_wrong_gets_a_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match='there is no split file .*test.csv'):
        SplitFile(str(tmp_path), 'test.csv')
    root = split(tmp_path)
    with pytest.raises(
        FileNotFoundError, match='None of the images that .* is there .6 in all.*image_dir'
    ):
        SplitFile(root, 'test.csv', image_dir='jpg')
    (tmp_path / 'test.csv').write_text('name,label\na.jpg,b\n')
    with pytest.raises(ValueError, match='needs a first line with filename and label'):
        SplitFile(root, 'test.csv')
    (tmp_path / 'test.csv').write_bytes(b'\xff\xfe\x00')
    with pytest.raises(ValueError, match='is no CSV file'):
        SplitFile(root, 'test.csv')
