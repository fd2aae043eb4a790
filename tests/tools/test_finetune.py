"""The configs of finetuning, trained and tested as users do on stand-ins in the real formats."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch

import mmc_plugin  # noqa: F401  registers
from mmc_plugin.checkpoints import read_backbone
from mmc_plugin.datasets.imagenet100 import imagenet100_wnids

from ..datasets.test_cifar import write_binary, write_pickles
from ..datasets.test_image_sets import flowers, pets, save
from .test_recognition import checkpoint, folder  # noqa: F401  a fixture

ROOT = Path(__file__).parents[2]
PARTS = ('train', 'val', 'test')
SMALL = [
    'model.backbone.img_size=32',
    *(f'{part}_dataloader.num_workers=0' for part in PARTS),
    'train_cfg.max_epochs=1',
    'train_cfg.val_interval=1',
    'default_hooks.checkpoint.interval=1',
    'val_dataloader.dataset.pipeline.0.scale=36',
    'val_dataloader.dataset.pipeline.1.crop_size=32',
    'test_dataloader.dataset.pipeline.0.scale=36',
    'test_dataloader.dataset.pipeline.1.crop_size=32',
    'train_dataloader.dataset.pipeline.0.size=32',
    'visualizer.vis_backends=[]',
]
# What each config is told of its stand-in beside that, and how many images it is tested on.
CASES = {
    'vit_imagenet.py': (['model.head.num_classes=6'], 12),
    'vit_imagenet_linear.py': (['model.head.num_classes=6'], 12),
    'vit_imagenet_attentive.py': (['model.head.num_classes=6', 'model.head.num_heads=4'], 12),
    'vit_in100.py': ([], 100),
    'vit_in100_linear.py': ([], 100),
    'vit_folder.py': (['model.head.num_classes=3', 'model.head.kind=hybrid'], 12),
    'vit_folder_linear.py': (['model.head.num_classes=3', 'model.head.kind=pat'], 12),
    'vit_cifar10.py': ([], 6),
    'vit_cifar100.py': ([], 6),
    'vit_flowers.py': ([], 4),
    'vit_pets.py': ([], 6),
    'vit_cars.py': ([], 3),
    'vit_cub_linear.py': ([], 2),
    'vitt_caltech101_20e.py': (['model.head.num_classes=3'], 12),
}


def cars(root):
    """Stanford Cars in the first of its two layouts: car_ims/ and cars_annos.mat."""
    kinds = [('relative_im_path', 'O'), ('class', 'O'), ('test', 'O')]
    records = np.zeros((1, 9), kinds)
    for i in range(9):
        save(root / 'car_ims' / f'{i:06d}.jpg', seed=i)
        records[0, i] = (f'car_ims/{i:06d}.jpg', np.uint8(1 + 97 * (i % 3)), np.uint8(i >= 6))
    scipy.io.savemat(root / 'cars_annos.mat', dict(annotations=records))
    return root


def species(root):
    """CUB-200-2011 as it is unpacked: two images of two species in each split."""
    names = [f'{number}/{i}.jpg' for number in ('001.Black', '200.Yellow') for i in range(2)]
    for i, name in enumerate(names):
        save(root / 'images' / name, seed=i)
    for file, values in (
        ('images', names), ('image_class_labels', (1, 1, 200, 200)), ('train_test_split', '1010')
    ):  # fmt: skip
        rows = [f'{i} {value}\n' for i, value in enumerate(values, 1)]
        (root / f'{file}.txt').write_text(''.join(rows))
    return root


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('data')
    wnids = imagenet100_wnids()
    write_pickles(root / 'cifar', 10)
    write_binary(root / 'cifar', 100)
    folder(root / 'folder')
    (root / 'folder' / 'val' / 'dog' / 'broken.jpg').write_bytes(b'broken')
    return dict(
        DATA_ROOT=root / 'folder',
        CALTECH101_ROOT=root / 'folder',
        IMAGENET_ROOT=folder(root / 'imagenet', wnids[:6], images=2),
        IMAGENET100_ROOT=folder(root / 'imagenet100', [*wnids, 'n00000000'], images=1),
        CIFAR_ROOT=root / 'cifar',
        FLOWERS_ROOT=flowers(root / 'flowers'),
        PETS_ROOT=pets(root / 'pets'),
        CARS_ROOT=cars(root / 'cars'),
        CUB_ROOT=species(root / 'cub'),
    )


@pytest.fixture
def run(fork_server, checkpoint, data, tmp_path):  # noqa: F811
    """Runs a tool; gives exit codes, what was printed, and the folder of the work."""

    def run(tool, config, *arguments, options=(), world=1, work='work'):
        argv = [ROOT / 'configs' / 'finetune' / config, *arguments, '--work-dir', tmp_path / work]
        argv += ['--launcher', 'pytorch'] if world > 1 else []
        argv += ['--cfg-options', *SMALL, *options]
        variables = {name: str(path) for name, path in data.items()}
        variables |= dict(MMC_CHECKPOINT=str(checkpoint))
        logs = [tmp_path / f'{tool}_{work}_{rank}.txt' for rank in range(world)]
        processes = fork_server.launch(ROOT / 'tools' / f'{tool}.py', argv, logs, variables)
        return fork_server.wait(*processes, limit=60), logs[0].read_text(), tmp_path / work

    return run


def short(config):
    """An epoch of two iterations or few, without warm-up."""
    batch = 50 if 'in100' in config else 15 if 'cifar10.py' in config else 2
    return ['param_scheduler=[]', f'train_dataloader.batch_size={batch}']


def test_every_config_has_a_case():
    assert {path.name for path in (ROOT / 'configs' / 'finetune').glob('*.py')} == set(CASES)


@pytest.mark.parametrize('config', CASES)
def test_every_config_trains_and_tests(run, config, checkpoint):  # noqa: F811
    options, images = CASES[config]
    options = [*options, *short(config)]
    codes, log, work = run('train', config, options=options)
    assert codes == [0], log
    assert 'accuracy/top1' in log and 'weight_decay=' not in log, log
    codes, log, _ = run('test', config, work / 'epoch_1.pth', options=options)
    assert codes == [0], log
    (path,) = work.glob('*/classification.json')
    report = json.loads(path.read_text())
    unreadable = [Path(each).name for each in report['numbers']['unreadable']]
    assert unreadable == ['broken.jpg'] * ('folder' in config or 'caltech' in config)
    assert report['numbers']['images'] == images and 'classification' in report['protocol']
    assert report['checkpoint']['path'].endswith('epoch_1.pth')
    before = torch.load(checkpoint)['state_dict']
    after = torch.load(work / 'epoch_1.pth', weights_only=False)['state_dict']
    linear = 'linear' in config or 'attentive' in config
    for name in ('backbone.cls_token', 'backbone.layers.1.attn.qkv.weight'):
        assert torch.equal(before[name], after[name]) == linear, name
    assert len(after['head.fc.weight']) >= 3 and after['head.fc.weight'].std() > 0


def test_a_finetuned_checkpoint_is_one_of_the_loader(run, checkpoint):  # noqa: F811
    options = ['model.head.num_classes=3', *short('vit_folder.py')]
    _, _, work = run('train', 'vit_folder.py', options=options)
    weights = read_backbone(str(work / 'epoch_1.pth'))
    saved = torch.load(work / 'epoch_1.pth', weights_only=False)['state_dict']
    assert weights.settings['arch']['num_heads'] == 1
    name = 'layers.0.ffn.layers.1.weight'
    assert torch.equal(weights.state_dict[name], saved[f'backbone.{name}'])


def test_a_test_by_two_processes_is_that_of_one(run):
    options = ['model.head.num_classes=3', *short('vit_folder.py')]
    codes, log, work = run('train', 'vit_folder.py', options=options, world=2)
    assert codes == [0, 0], log
    found = []
    for world in (1, 2):
        codes, log, place = run(
            'test', 'vit_folder.py', work / 'epoch_1.pth',
            options=options, world=world, work=f'test{world}',
        )  # fmt: skip
        assert codes == [0] * world, log
        (path,) = place.glob('*/classification.json')
        numbers = json.loads(path.read_text())['numbers']
        del numbers['settings']
        found.append(numbers)
    assert found[0] == found[1]


@pytest.mark.parametrize(
    'options, words',
    [
        (['model.head.num_classes=4'], 'have 3 classes and the head has 4: set model.head.num_'),
        (['model.head.num_classes=2'], 'have 3 classes and the head has 2: set model.head.num_'),
        (['model.head.num_classes=3', 'model.head.kind=all'], 'one of cls, pat, hybrid'),
        (['model.backbone.out_type=cls_token'], "out_type must be 'raw'"),
        (['model.backbone.checkpoint=gone.pth'], 'gone.pth'),
    ],
)
def test_mistakes_get_a_sentence(run, options, words):
    codes, log, _ = run('train', 'vit_folder.py', options=[*short(''), *options])
    assert codes == [2] and words in log and 'Traceback' not in log, log
