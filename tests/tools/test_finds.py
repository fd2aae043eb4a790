"""tools/visualization/finds.py."""

import re
import runpy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mmc_plugin.apis import embed_folder
from mmc_plugin.models.features import FrozenFeatures

ROOT = Path(__file__).parents[2]
MAIN = runpy.run_path(
    str(ROOT / 'tools' / 'visualization' / 'finds.py'), run_name='mmc_plugin.visualization.finds'
)['main']
ARCH = dict(embed_dims=64, num_layers=2, num_heads=1, feedforward_channels=64)


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    model = FrozenFeatures(
        dict(type='PretrainedViT', arch=ARCH, img_size=32, patch_size=8, out_type='raw')
    )
    path = tmp_path_factory.mktemp('weights') / 'vit.pth'
    state = {f'backbone.{key}': value for key, value in model.backbone.state_dict().items()}
    torch.save(dict(state_dict=state), path)
    return str(path)


@pytest.fixture
def folder(tmp_path):
    """Three photographs, and a file that is none."""
    root = tmp_path / 'images'
    root.mkdir()
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 256, (5, 8, 3), dtype=np.uint8)
        cv2.imwrite(str(root / f'{i}.png'), cv2.resize(pixels, (80, 50)))
    (root / 'broken.png').write_bytes(b'not one')
    return root


def run(command, *arguments, out):
    MAIN([command, *map(str, arguments), '--size', '64', '--device', 'cpu', '--out', str(out)])
    assert cv2.imread(str(out)).std() > 20


def test_a_click_is_looked_for_in_a_folder(checkpoint, folder, tmp_path, capsys):
    out = tmp_path / 'a.png'
    (folder / 'empty.png').touch()
    run('click', checkpoint, folder / '1.png', folder, '--point', 30, 20, '--top', 2, out=out)
    lines = capsys.readouterr().out.splitlines()
    assert 'broken.png' in lines[1] and 'empty.png (the file is empty' in lines[2]
    drawn = [line for line in lines if re.match(r'-?\d\.\d{3} at \d+ \d+', line)]
    assert len(drawn) == 2
    assert drawn[0].startswith('1.000 at ') and drawn[0].endswith(
        ', mutual: ' + str(folder / '1.png')
    )


def test_a_bank_takes_the_place_of_its_folder(checkpoint, folder, tmp_path, capsys):
    bank, click = tmp_path / 'bank', ('click', checkpoint, folder / '1.png')
    embed_folder(checkpoint, folder, bank, ('patches',), size=64, fit='stretch', num_workers=0)
    said = []
    for other in (folder, bank):
        run(*click, other, '--point', 30, 20, '--top', 2, out=tmp_path / f'{other.name}.png')
        lines = capsys.readouterr().out.splitlines()
        said.append([each for each in lines if re.match(r'-?\d\.\d{3} at \d+ \d+', each)])
    assert len(said[0]) == 2
    for one, other in zip(*said, strict=True):
        assert one[5:] == other[5:] and abs(float(one[:5]) - float(other[:5])) < 0.02
    other = tmp_path / 'other.pth'
    torch.save({'state_dict': {'backbone.' + key: value for key, value in FrozenFeatures(
        dict(type='PretrainedViT', arch=ARCH, img_size=32, patch_size=8, out_type='raw'), seed=1
    ).backbone.state_dict().items()}}, other)  # fmt: skip
    with pytest.raises(SystemExit):
        run(click[0], other, click[2], bank, '--point', 30, 20, out=tmp_path / 'x.png')
    assert 'was written by another network (weights)' in capsys.readouterr().err


def test_matches_and_objects_are_drawn(checkpoint, folder, tmp_path, capsys):
    run('match', checkpoint, folder / '0.png', folder / '0.png', out=tmp_path / 'm.png')
    assert '64 pairs, cosines 1.00 to 1.00' in capsys.readouterr().out
    run('objects', checkpoint, folder, '--number', 2, '--refine', 'guided', out=tmp_path / 'o.png')
    said = capsys.readouterr().out
    boxes = re.findall(r'(\d)\.png: (\d+) (\d+) (\d+) (\d+)', said)
    assert boxes and 'broken.png' in said
    for _, left, top, right, bottom in boxes:
        assert 0 <= int(left) < int(right) <= 80 and 0 <= int(top) < int(bottom) <= 50


def test_parts_are_looked_for_in_a_folder(checkpoint, folder, tmp_path, capsys):
    out = tmp_path / 'p.png'
    run('parts', checkpoint, folder / '1.png', folder, '--point', 40, 20, '--top', 3, out=out)
    lines = capsys.readouterr().out.splitlines()
    assert 'broken.png' in lines[1]
    cosines = [float(line[:5]) for line in lines if re.match(r'\d\.\d{3}: ', line)]
    assert len(cosines) == 3 and cosines == sorted(cosines, reverse=True)
    assert not any('1.png' in line for line in lines)  # the image itself is not looked in


def test_wrong_input_gets_a_sentence(checkpoint, folder, tmp_path, capsys):
    (tmp_path / 'empty').mkdir()
    for arguments, words in (
        (('click', folder / '0.png', folder, '--point', 90, 3), 'lies outside the image'),
        (('click', folder / '0.png', folder / 'broken.png', '--point', 3, 3), 'none of the other'),
        (('click', folder / 'broken.png', folder, '--point', 3, 3), 'cannot read the image'),
        (('parts', folder / '0.png', folder, '--point', 2, 20), 'x must be in 18 … 61'),
        (('parts', folder / '0.png', folder / '0.png', '--point', 40, 20), 'no other image to'),
        (('parts', folder / '0.png', folder / 'broken.png', '--point', 40, 20), 'none of the'),
        (('parts', folder / '0.png', folder, '--point', 40, 20, '--top', 0), 'must be positive'),
        (
            ('click', folder / '0.png', folder, '--point', 3, 3, '--top', 0),
            '--top must be positive',
        ),
        (('match', folder / '0.png', folder / '1.png', '--top', -1), '--top must be positive'),
        (('objects', tmp_path / 'empty'), 'There is no whole image in'),
        (('objects', folder / '0.png', '--number', 0), 'must be positive'),
    ):
        with pytest.raises(SystemExit) as stop:
            run(arguments[0], checkpoint, *arguments[1:], out=tmp_path / 'x.png')
        assert stop.value.code == 2 and words in capsys.readouterr().err.splitlines()[-1]
