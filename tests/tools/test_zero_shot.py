"""The configs of configs/zero_shot, run as users run them, in one process and in two."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import DATASETS, METRICS, MODELS

import mmc_plugin  # noqa: F401  registers
from mmc_plugin.engine.hooks.evaluation_report import checkpoint_of
from mmc_plugin.models.features import FrozenFeatures

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / 'configs' / 'zero_shot').glob('*.py'))
ARCH = dict(embed_dims=64, num_layers=2, num_heads=1, feedforward_channels=64)


@pytest.fixture(scope='module')
def coco(tmp_path_factory):
    """Five images with two objects each, the third of them broken."""
    root = tmp_path_factory.mktemp('coco')
    (root / 'annotations').mkdir()
    (root / 'val2017').mkdir()
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for key in range(5):
        image = cv2.resize(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8), (40 + key, 36))
        path = root / 'val2017' / f'{key}.png'
        cv2.imwrite(str(path), image)
        if key == 2:
            path.write_bytes(b'broken')
        images.append(dict(id=key, file_name=path.name, height=36, width=40 + key))
        for k, left in enumerate((2, 22)):
            annotations.append(
                dict(
                    id=2 * key + k + 1,
                    image_id=key,
                    category_id=k + 1,
                    iscrowd=0,
                    segmentation=[[left, 4, left + 12, 4, left + 12, 30, left, 30]],
                )
            )
    categories = [dict(id=1, name='cat'), dict(id=2, name='dog')]
    (root / 'annotations' / 'instances_val2017.json').write_text(
        json.dumps(dict(images=images, annotations=annotations, categories=categories))
    )
    return root


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
    return path


@pytest.fixture
def run(fork_server, tmp_path):
    """Runs tools/test.py; gives exit codes, what the first process printed, and its folder."""

    def run(config, checkpoint, root, *options, world=1):
        folder = tmp_path / f'{Path(config).stem}_{world}'
        folder.mkdir()
        argv = [ROOT / 'configs' / 'zero_shot' / config, checkpoint, '--work-dir', folder / 'work']
        argv += ['--cfg-options', 'model.size=32', 'test_dataloader.num_workers=0']
        argv += ['test_dataloader.batch_size=2', *options]
        argv += ['--launcher', 'pytorch'] if world > 1 else []
        logs = [folder / f'printed_{rank}.txt' for rank in range(world)]
        variables = dict(COCO_ROOT=str(root))
        processes = fork_server.launch(ROOT / 'tools' / 'test.py', argv, logs, variables)
        return fork_server.wait(*processes), logs[0].read_text(), folder / 'work'

    return run


def report(folder, name):
    (path,) = folder.glob(f'*/{name}.json')
    return json.loads(path.read_text()), path.parent


def test_one_process_equals_two_and_leaves_report_curve_and_sheet(coco, checkpoint, run):
    found = []
    for world in (1, 2):
        codes, log, work = run('vit_coco.py', checkpoint, coco, world=world)
        assert codes == [0] * world, log
        content, folder = report(work, 'prompt_iou')
        found.append(content['numbers'])
        names = {path.name for path in folder.iterdir()}
        assert {'prompt_iou.json', 'prompt_iou.png', 'prompt_iou_cases.png'} <= names
        assert 'mIoU@0.3' in log and 'Left out 1 image, the first: ' in log
    assert content['checkpoint']['path'] == str(checkpoint)
    assert len(content['checkpoint']['sha256']) == 64
    assert content['config'].endswith('vit_coco.py') and 'one click' in content['protocol']
    one, two = found
    assert one['images'] == 4 and one['prompts'] == 40
    np.testing.assert_allclose(one['curve'], two['curve'], atol=1e-6)
    for numbers in found:
        del numbers['curve'], numbers['deviation'], numbers['settings']
    assert one['skipped_images'] == two['skipped_images']
    assert one['categories'].keys() == two['categories'].keys()
    assert one['everything'] == pytest.approx(two['everything'])


def test_similarity_of_a_row_without_weights(coco, run):
    codes, log, work = run('colour_coco_similarity.py', 'none', coco, 'model.backbone.patch_size=4')
    assert codes == [0], log
    content, folder = report(work, 'similarity_overlap')
    assert content['checkpoint'] is None and 0 <= content['numbers']['overlap'] <= 1
    assert len(content['numbers']['histograms']['intra']) == 200
    assert (folder / 'similarity_overlap.png').is_file()


@pytest.mark.parametrize('way', ['guided', 'bilateral'])
def test_rows_of_refined_maps(way, coco, checkpoint, run):
    codes, log, work = run(f'vit_coco_{way}.py', checkpoint, coco)
    assert codes == [0], log
    content, _ = report(work, 'prompt_iou')
    assert 'refined by' in content['protocol'] and content['numbers']['prompts'] == 40


def test_discovery_of_one_process_equals_that_of_two(coco, checkpoint, run):
    found = []
    for world in (1, 2):
        config = '../discovery/vit_coco.py'
        codes, log, work = run(config, checkpoint, coco, world=world)
        assert codes == [0] * world, log
        found.append(report(work, 'object_discovery')[0]['numbers'])
    assert found[0]['objects'] == 8 and found[0]['images'] == 4
    for key in ('corloc', 'iou', 'recall', 'found'):
        assert found[0][key] == pytest.approx(found[1][key])


def test_discovery_on_voc_says_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv('VOC12_ROOT', str(tmp_path))
    cfg = Config.fromfile(str(ROOT / 'configs' / 'discovery' / 'vit_voc.py'))
    assert METRICS.build(cfg.test_evaluator[0]).name == 'object_discovery'
    data = cfg.test_dataloader.dataset
    assert data.type == 'VocPrompts' and data.by == 'instance' and len(data.pipeline) == 2
    with pytest.raises(FileNotFoundError, match='set .*data_root'):
        DATASETS.build(data)


@pytest.mark.parametrize(
    'config, weights, words',
    [
        ('colour_coco.py', 'a.pth', 'loads no weights: write none in the place of a.pth'),
        ('vit_coco.py', 'gone.pth', 'gone.pth'),
    ],
)
def test_wrong_checkpoints_get_a_sentence(config, weights, words, coco, run):
    codes, log, _ = run(config, weights, coco)
    assert codes == [2] and words in log and 'Traceback' not in log, log


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_configs_build_with_what_they_name(path, coco, checkpoint, monkeypatch):
    monkeypatch.setenv('COCO_ROOT', str(coco))
    cfg = Config.fromfile(str(path))
    if cfg.checkpoint_key is not None:
        cfg.merge_from_dict({cfg.checkpoint_key: str(checkpoint)})
    assert checkpoint_of(cfg) == (cfg.checkpoint_key and str(checkpoint))
    model = MODELS.build(cfg.model)
    assert (model.size, model.fit, model.layer, model.stride) == (480, 'stretch', -1, None)
    metric = METRICS.build(cfg.test_evaluator[0])
    similarity = 'similarity' in path.stem
    assert metric.name == ('similarity_overlap' if similarity else 'prompt_iou')
    data = cfg.test_dataloader.dataset
    kind = dict(coco='CocoPrompts', voc='VocPrompts', davis='DavisFramePrompts')
    assert data.type == next(name for word, name in kind.items() if word in path.stem)
    assert data.pipeline[1].grid == 30 and data.pipeline[1].repeats == 5
    if 'coco' in path.stem:
        assert len(DATASETS.build(data)) == 5
    else:
        with pytest.raises(FileNotFoundError, match='set test_dataloader.dataset.data_root'):
            DATASETS.build(data)
