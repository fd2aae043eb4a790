"""The configs of configs/parts, run as users run them on stand-ins in the real formats."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ..datasets.test_part_patches import cub, person
from .test_recognition import checkpoint, numbers_of_one_and_two, run  # noqa: F401

ROOT = Path(__file__).parents[2]
TRAINING = [
    'model.backbone.img_size=32',
    *(f'{part}_dataloader.num_workers=0' for part in ('train', 'val', 'test')),
    'train_dataloader.dataset.pipeline.0.scale=36',
    'train_dataloader.dataset.pipeline.1.crop_size=32',
    'val_dataloader.dataset.pipeline.0.scale=(32,32)',
    'test_dataloader.dataset.pipeline.0.scale=(32,32)',
    'train_cfg.max_epochs=2',
    'train_cfg.val_interval=1',
    'default_hooks.checkpoint.interval=1',
    'visualizer.vis_backends=[]',
]


def coco(root):
    """COCO with its person keypoints: three images in each split."""
    (root / 'annotations').mkdir(parents=True)
    for split in ('train2017', 'val2017'):
        (root / split).mkdir()
        images, people = [], []
        for i in range(3):
            pixels = np.random.default_rng(i).integers(0, 256, (160, 200, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / split / f'{i}.png')
            images.append(dict(id=i, file_name=f'{i}.png', width=200, height=160))
            people.append(person(i, i, {1: (50, 40, 2), 11: (110, 120, 2), 16: (180, 60, 2)}))
        (root / 'annotations' / f'person_keypoints_{split}.json').write_text(
            json.dumps(dict(images=images, annotations=people))
        )
    return root


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('parts')
    return dict(COCO_KEYPOINTS_ROOT=coco(root / 'coco'), CUB_ROOT=cub(root / 'cub'))


def test_part_retrieval_of_one_process_and_of_two(run):  # noqa: F811
    one, two = numbers_of_one_and_two(run, 'parts/vit_coco_parts.py', 'part_retrieval')
    assert one == two and one['queries'] == 9
    assert set(one['kinds']['pat']['parts']) == {'nose', 'right_wrist', 'left_ankle'}


@pytest.fixture
def classify(fork_server, checkpoint, data, tmp_path):  # noqa: F811
    """Runs a tool on a config; gives the exit code, what was printed, and the folder."""

    def classify(tool, config, *arguments, options=()):
        argv = [ROOT / 'configs' / 'parts' / config, *arguments, '--work-dir', tmp_path / 'work',
                '--cfg-options', *TRAINING, *options]  # fmt: skip
        variables = {name: str(path) for name, path in data.items()}
        variables |= dict(MMC_CHECKPOINT=str(checkpoint))
        log = tmp_path / f'{tool}.txt'
        process = fork_server.launch(ROOT / 'tools' / f'{tool}.py', argv, [log], variables)
        (code,) = fork_server.wait(*process, limit=60)
        return code, log.read_text(), tmp_path / 'work'

    return classify


@pytest.mark.parametrize('data_set, parts, images', [('coco', 3, 9), ('cub', 4, 4)])
@pytest.mark.parametrize('probe', ['linear', 'attentive'])
def test_part_classification_trains_and_tests(
    classify,
    checkpoint,  # noqa: F811
    data_set,
    parts,
    images,
    probe,
):
    config = f'vit_{data_set}_{probe}.py'
    options = ['model.head.num_heads=4'] if probe == 'attentive' else []
    code, log, work = classify('train', config, options=options)
    assert code == 0 and 'accuracy/top1' in log, log
    state = torch.load(work / 'epoch_2.pth', weights_only=False)['state_dict']
    before = torch.load(checkpoint)['state_dict']
    assert torch.equal(before['backbone.cls_token'], state['backbone.cls_token'])
    assert state['head.fc.weight'].shape[0] == parts and state['head.fc.bias'].any()
    if probe == 'attentive':
        assert state['head.norm.num_batches_tracked'] == 2
    code, log, _ = classify('test', config, work / 'epoch_2.pth', options=options)
    assert code == 0, log
    (path,) = work.glob('*/classification.json')
    numbers = json.loads(path.read_text())['numbers']
    assert numbers['images'] == images
    if data_set == 'coco':  # the images to test with are those of the training
        assert numbers['top1'] >= 100 / 3


@pytest.mark.parametrize(
    'options, words',
    [
        ([], 'num_heads must divide the 64 channels of the tokens, got 12'),
        (['model.head.num_heads=4', 'model.head.num_classes=4'], 'have 3 classes and the head'),
        (['model.head.num_heads=4', 'model.head.test_statistics=all'], "'running' or 'batch'"),
        (
            ['model.head.num_heads=4', 'train_dataloader.dataset.source.side=2'],
            'side must be 0.5 or 1',
        ),
    ],
)
def test_mistakes_get_a_sentence(classify, options, words):
    code, log, _ = classify('train', 'vit_coco_attentive.py', options=options)
    assert code == 2 and words in log and 'Traceback' not in log, log
