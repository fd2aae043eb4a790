"""tools/visualization/zero_shot.py and the benchmarks of zero-shot segmentation."""

import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS, METRICS

import mmc_plugin  # noqa: F401  registers
from mmc_plugin.evaluation.report import write_report
from mmc_plugin.models.features import FrozenFeatures

ROOT = Path(__file__).parents[2]


def load(name):
    """The main function of a tool, whose errors are known as ours."""
    return runpy.run_path(str(ROOT / 'tools' / f'{name}.py'), run_name=f'mmc_plugin.{name}')['main']


MAIN = load('visualization/zero_shot')
ARCH = dict(embed_dims=64, num_layers=2, num_heads=1, feedforward_channels=64)


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    model = FrozenFeatures(
        dict(type='PretrainedViT', arch=ARCH, img_size=32, patch_size=8, out_type='raw')
    )
    path = tmp_path_factory.mktemp('weights') / 'vit.pth'
    torch.save(
        dict(
            state_dict={
                f'backbone.{key}': value for key, value in model.backbone.state_dict().items()
            }
        ),
        path,
    )
    return str(path)


@pytest.fixture
def image(tmp_path):
    path = tmp_path / 'image.png'
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 3), dtype=np.uint8)
    cv2.imwrite(str(path), cv2.resize(pixels, (80, 50)))
    return str(path)


def test_clicks_and_patches_are_drawn(checkpoint, image, tmp_path, capsys):
    click, patches = tmp_path / 'a' / 'click.png', tmp_path / 'patches.png'
    MAIN(
        [
            'click',
            checkpoint,
            image,
            '--point',
            '10',
            '10',
            '--beside',
            '70',
            '40',
            '--size',
            '64',
            '--threshold',
            'otsu',
            '--stride',
            '4',
            '--device',
            'cpu',
            '--out',
            str(click),
        ]
    )
    MAIN(
        [
            'patches',
            checkpoint,
            image,
            image,
            '-k',
            '2',
            '--size',
            '64',
            '--fit',
            'pad',
            '--device',
            'cpu',
            '--out',
            str(patches),
        ]
    )
    assert capsys.readouterr().out.count('wrote') == 2
    for path in (click, patches):
        assert cv2.imread(str(path)).std() > 20


def test_refined_and_debiased_clicks_are_other_pictures(checkpoint, image, tmp_path):
    pictures = []
    for name, options in (
        ('plain', []),
        ('guided', ['--refine', 'guided']),
        ('bilateral', ['--refine', 'bilateral']),
        ('debias', ['--debias', 'mean']),
    ):
        out = str(tmp_path / f'{name}.png')
        rest = ['--point', '10', '10', '--size', '64', '--device', 'cpu', '--out', out]
        MAIN(['click', checkpoint, image, *options, *rest])
        pictures.append(cv2.imread(out).tobytes())
    assert len(set(pictures)) == 4


def test_a_broken_image_is_left_out_and_listed(checkpoint, image, tmp_path, capsys):
    broken = tmp_path / 'broken.jpg'
    broken.write_bytes(b'not one')
    rest = ('-k', '2', '--size', '64', '--device', 'cpu', '--out')
    MAIN(['patches', checkpoint, image, *rest, str(tmp_path / 'one.png')])
    capsys.readouterr()
    MAIN(['patches', checkpoint, str(broken), image, *rest, str(tmp_path / 'two.png')])
    said = capsys.readouterr().out.splitlines()
    assert said[0] == 'Left out, since they cannot be read:'
    assert said[1].startswith(f'  {broken} (')
    assert (tmp_path / 'one.png').read_bytes() == (tmp_path / 'two.png').read_bytes()
    assert 'none of the images can be read' in error(
        capsys, 'patches', checkpoint, broken, *rest, tmp_path / 'three.png'
    )


def error(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        MAIN([str(each) for each in arguments])
    assert stop.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_wrong_input_gets_a_sentence(checkpoint, image, tmp_path, capsys):
    out = ('--device', 'cpu', '--size', '32', '--out', tmp_path / 'a.png')
    point = ('--point', 3, 3)
    assert 'lies outside the image' in error(
        capsys, 'click', checkpoint, image, '--point', 80, 3, *out
    )
    assert 'auto, otsu or a number' in error(
        capsys, 'click', checkpoint, image, *point, '--threshold', 'x', *out
    )
    assert 'finite number' in error(
        capsys, 'click', checkpoint, image, *point, '--threshold', 'nan', *out
    )
    assert 'no.png' in error(capsys, 'click', checkpoint, tmp_path / 'no.png', *point, *out)
    assert 'no.pth' in error(capsys, 'click', tmp_path / 'no.pth', image, *point, *out)
    assert 'between 1 and 16 clusters' in error(
        capsys, 'patches', checkpoint, image, '-k', 40, *out
    )


def test_reports_are_compared(tmp_path, capsys):
    thresholds = [0.0, 0.5]
    curve = dict(thresholds=thresholds, curve=[0.1, 0.2], deviation=[0, 0], everything=0.1)
    shares = [0.5, 0.5]
    similarity = dict(
        edges=[-1, 0, 1],
        intra=0.1,
        inter=0.2,
        overlap=0.9,
        histograms=dict(intra=shares, inter=shares),
    )
    kinds = {kind: dict(map=0.6, precision=[0.9, 0.4]) for kind in ('cls', 'pat')}
    parts = dict(kinds=kinds, recalls=[0.5, 1.0], share=dict(nose=0.75, wrist=0.25))
    for name, numbers in (('a', curve), ('b', similarity), ('p', parts)):
        write_report(str(tmp_path / f'{name}.json'), 'p', None, None, numbers)
    for name in 'abp':
        MAIN(
            [
                'compare',
                f'one={tmp_path / name}.json',
                f'two={tmp_path / name}.json',
                '--out',
                str(tmp_path / f'{name}.png'),
            ]
        )
        assert (tmp_path / f'{name}.png').is_file()
    (tmp_path / 'run=1').mkdir()
    path = (tmp_path / 'a.json').rename(tmp_path / 'run=1' / 'a.json')
    MAIN(['compare', str(path), f'two={path}', '--out', str(tmp_path / 'named.png')])
    path.rename(tmp_path / 'a.json')
    out = ('--out', tmp_path / 'c.png')
    both = (f'one={tmp_path / "a.json"}', f'two={tmp_path / "b.json"}')
    assert 'cannot be in one figure' in error(capsys, 'compare', *both, *out)
    assert 'same name' in error(capsys, 'compare', both[0], both[0], *out)
    assert 'does not exist' in error(capsys, 'compare', tmp_path / 'no.json', *out)
    (tmp_path / 'x.json').write_text('[]')
    assert 'is no report' in error(capsys, 'compare', tmp_path / 'x.json', *out)


@pytest.fixture
def coco(tmp_path, monkeypatch):
    """Three images in COCO's layout, one object each."""
    root = tmp_path / 'coco'
    (root / 'annotations').mkdir(parents=True)
    (root / 'val2017').mkdir()
    rng = np.random.default_rng(0)
    for key in range(3):
        pixels = cv2.resize(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8), (40, 36))
        cv2.imwrite(str(root / 'val2017' / f'{key}.png'), pixels)
    content = dict(
        images=[dict(id=i, file_name=f'{i}.png', height=36, width=40) for i in range(3)],
        categories=[dict(id=1, name='cat')],
        annotations=[
            dict(
                id=i,
                image_id=i,
                category_id=1,
                iscrowd=0,
                segmentation=[[2, 4, 14, 4, 14, 30, 2, 30]],
            )
            for i in range(3)
        ],
    )
    (root / 'annotations' / 'instances_val2017.json').write_text(json.dumps(content))
    monkeypatch.setenv('COCO_ROOT', str(root))


def test_a_table_of_grids(checkpoint, coco, tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / 'tools' / 'benchmarks'))
    main = load('benchmarks/zero_shot_grids')
    out = tmp_path / 'grids.json'
    main([checkpoint, '--grids', '32', '64', '32:4', '--device', 'cpu', '--out', str(out)])
    rows = json.loads(out.read_text())['numbers']['grids']
    assert [row['tokens'] for row in rows] == [4, 8, 8]
    assert all(row['numbers']['prompts'] == 15 for row in rows)
    assert len({row['numbers']['everything'] for row in rows}) == 1  # the same objects
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith('| ')]
    assert len(lines) == 4 and lines[1].startswith('| 32 | 4 × 4 |')
    with pytest.raises(SystemExit):
        main([checkpoint, '--grids', '32:x', '--device', 'cpu'])
    assert '32:x is neither SIZE nor SIZE:STRIDE' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([checkpoint, '--grids', '32:3', '--device', 'cpu'])
    assert 'stride must divide the patch size 8' in capsys.readouterr().err


def test_tables_of_clicks(checkpoint, coco, tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / 'tools' / 'benchmarks'))
    rest = ['--size', '32', '--device', 'cpu', '--out', str(tmp_path / 'out.json')]
    load('benchmarks/click_thresholds')([f'mine={checkpoint}', 'random', *rest])
    numbers = json.loads((tmp_path / 'out.json').read_text())['numbers']
    assert [row['name'] for row in numbers['networks']] == ['mine', 'random']
    assert numbers['images'] == [2, 1] and len(numbers['networks'][0]['odd']['raw']) == 20
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith('|')]
    assert len(table) == 4

    load('benchmarks/finer_masks')([f'mine={checkpoint}', *rest])
    numbers = json.loads((tmp_path / 'out.json').read_text())['numbers']
    rows = {row['row']: row for row in numbers['networks'][0]['rows']}
    assert len(rows) == 10 and rows['none']['cost'] == 1
    assert all(0 <= row['miou'] <= 1 and 0 <= row['f'] <= 1 for row in rows.values())
    assert rows['stride']['cost'] > 1 and rows['guided']['cost'] > 1

    # Gone on with after it was killed within the last line, it is the same.
    kept = (tmp_path / 'out.jsonl').read_text()
    (tmp_path / 'out.jsonl').write_text(kept[: len(kept) * 2 // 3])
    load('benchmarks/finer_masks')([f'mine={checkpoint}', *rest])
    again = json.loads((tmp_path / 'out.json').read_text())['numbers']['networks'][0]['rows']
    assert [{**row, 'cost': 0} for row in again] == [{**row, 'cost': 0} for row in rows.values()]
    assert (tmp_path / 'out.jsonl').read_text() == kept
    with pytest.raises(SystemExit):
        load('benchmarks/finer_masks')([f'mine={checkpoint}', *rest, '--repeats', '2'])
    assert 'out.jsonl holds results with other settings' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        load('benchmarks/finer_masks')([f'mine={checkpoint}', '--max-images', '1', *rest])
    assert 'images with even ids and images with odd ids' in capsys.readouterr().err


def test_the_benchmark_of_clicks_measures_what_the_metric_does(checkpoint, coco, monkeypatch):
    """The loop that both tables share, against PromptIoU on the same clicks."""
    monkeypatch.syspath_prepend(str(ROOT / 'tools' / 'benchmarks'))
    import clicks

    args = clicks.parser('').parse_args([checkpoint, '--size', '32', '--repeats', '5'])
    cfg = Config.fromfile(ROOT / 'configs' / 'zero_shot' / 'vit_coco.py')
    init_default_scope('mmpretrain')
    ((_, model),) = clicks.networks(args)
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    metric = METRICS.build(cfg.test_evaluator[0])
    metric.dataset_meta = dataset.metainfo
    for i in range(3):
        data = pseudo_collate([dataset[i]])
        metric.process(data, [each.to_dict() for each in model.test_step(data)])
    metric.evaluate(3)
    found = []
    for image in sum(clicks.click_images(args), []):
        maps = image.maps(model, image.tokens(model), centred=False)
        full = image.frame(model).upsample(maps)
        found.append(image.ious(full, torch.tensor(metric.numbers['thresholds'])))
    np.testing.assert_allclose(torch.cat(found).mean(0), metric.numbers['curve'], atol=1e-6)


def test_the_benchmark_runs_on_its_config(checkpoint, coco, tmp_path, capsys, monkeypatch):
    folder = ROOT / 'tools' / 'benchmarks'
    monkeypatch.syspath_prepend(str(folder))
    out = tmp_path / 'bench.json'
    monkeypatch.setattr(
        sys,
        'argv',
        [
            'zero_shot.py',
            '--config',
            'zero_shot/vit_coco.py',
            '--checkpoint',
            checkpoint,
            '--batch',
            '1',
            '--device',
            'cpu',
            '--out',
            str(out),
        ],
    )
    runpy.run_path(str(folder / 'zero_shot.py'), run_name='__main__')
    results = json.loads(out.read_text())
    assert results['ratio'] > 0.5 and results['images'] == 3 and len(results['batches']) == 2
    peaks = list(results['peak_mib'].values())
    assert len(peaks) == 4 and peaks[-1] > 0
