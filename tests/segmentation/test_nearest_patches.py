"""Dense retrieval by its config, as users run it, and against a slow reading of it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

pytest.importorskip('mmseg')

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS, MODELS

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / 'configs' / 'dense_retrieval').glob('*.py'))
CAMVID = ROOT / 'configs' / 'dense_retrieval' / 'vit_camvid.py'


def load(street, **options):
    cfg = Config.fromfile(CAMVID)
    cfg.merge_from_dict(
        {
            'model.features.size': 48,
            'model.k': 3,
            'model.memory.dataset.data_root': str(street),
            'test_dataloader.dataset.dataset.data_root': str(street),
            **options,
        }
    )
    cfg.model.features.backbone = dict(type='PatchColour', patch_size=8)
    init_default_scope('mmseg')
    return cfg


def predict(cfg):
    """Predictions and truths of all test images."""
    model = MODELS.build(cfg.model)
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    found = []
    for i in range(len(dataset)):
        data = dataset[i]
        (sample,) = model.test_step(
            dict(inputs=[data['inputs']], data_samples=[data['data_samples']])
        )
        found.append((sample.pred_sem_seg.data[0].numpy(), sample.gt_sem_seg.data[0].numpy()))
    return model, dataset, found


def test_colours_find_their_classes_again(street):
    model, _, found = predict(load(street))
    assert len(model.bank()[0]) == 6 * 36  # all patches of all images
    seen = model.bank()[1].sum(0).numpy() > 2
    right = [(guess == truth)[(truth < 11) & seen[np.minimum(truth, 10)]] for guess, truth in found]
    assert np.concatenate(right).mean() > 0.97


def test_predictions_are_those_of_a_loop_in_float64(street):
    model, dataset, found = predict(load(street, **{'model.temperature': 0.5}))
    bank, labels = (each.double().numpy() for each in model.bank())
    bank /= np.linalg.norm(bank, axis=1, keepdims=True)
    for i, (guess, _) in enumerate(found):
        rgb = dataset[i]['inputs'].flip(0)
        tokens = (
            model.features.grid(model.features.prepare([rgb]))[0].double().flatten(0, 1).numpy()
        )
        shares = []
        for token in tokens:
            cosine = bank @ token / np.linalg.norm(token)
            nearest = np.argsort(-cosine)[:3]
            weight = np.exp(cosine[nearest] / 0.5)
            shares.append(weight @ labels[nearest] / weight.sum())
        maps = torch.from_numpy(np.array(shares)).T.view(1, 11, 6, 6)
        full = F.interpolate(maps, guess.shape, mode='bilinear')[0]
        best = full.topk(2, dim=0).values
        clear = (best[0] - best[1] > 1e-5).numpy()
        assert clear.mean() > 0.9
        assert (full.argmax(0).numpy() == guess)[clear].all()


def test_a_smaller_memory_takes_as_many_patches_of_each_image(street):
    model, _, _ = predict(load(street, **{'model.memory_size': 60}))
    whole = MODELS.build(load(street).model).bank()[0]
    assert len(model.bank()[0]) == 60
    for i, part in enumerate(model.bank()[0].split(10)):
        source = whole[36 * i : 36 * (i + 1)]
        assert (part[:, None] == source).all(-1).any(1).all()
    with pytest.raises(ValueError, match='memory_size must be positive or None, got 0'):
        MODELS.build(load(street, **{'model.memory_size': 0}).model)
    with pytest.raises(ValueError, match="has the mode 'predict', not 'loss'"):
        model([], [], 'loss')
    with pytest.raises(ValueError, match='between 1 and the 60 labelled patches, got 99'):
        predict(load(street, **{'model.memory_size': 60, 'model.k': 99}))


def test_the_tool_leaves_a_report(call, weights, street, tmp_path):
    done = call(
        'test.py', CAMVID, weights, '--work-dir', tmp_path / 'work', '--cfg-options',
        'model.features.size=32', 'model.k=5', 'model.features.backbone.num_heads=2',
        'test_dataloader.num_workers=0', '--show-dir', tmp_path / 'pictures',
        CAMVID_ROOT=str(street),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / 'pictures').glob('val*.png'))) == 3
    (path,) = (tmp_path / 'work').glob('test_*.json')
    report = json.loads(path.read_text())
    assert 'by the 5 nearest of at most 1,024,000 labelled patches' in report['protocol']
    assert report['checkpoint']['path'] == str(weights) and 0 <= report['numbers']['mIoU'] <= 100


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_memory_and_test_are_different_splits_of_one_set(path):
    cfg = Config.fromfile(path)
    memory, test = cfg.model.memory.dataset, cfg.test_dataloader.dataset.dataset
    assert memory.type == test.type and memory.data_root == test.data_root
    assert (memory.data_prefix, memory.get('ann_file')) != (test.data_prefix, test.get('ann_file'))
    assert memory.pipeline == test.pipeline and len(test.pipeline) == 3
    assert (cfg.model.k, cfg.model.temperature, cfg.model.features.size) == (30, 0.02, 512)
