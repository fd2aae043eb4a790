"""The configs of k-NN and its like, run as users run them on stand-ins in the real formats."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import mmc_plugin  # noqa: F401  registers
from mmc_plugin.datasets.imagenet100 import imagenet100_wnids
from mmc_plugin.models.features import FrozenFeatures

from ..datasets.test_cifar import write_binary, write_pickles
from ..datasets.test_image_sets import flowers, pets
from ..datasets.test_revisited import landmarks
from ..datasets.test_split_file import split as mini

ROOT = Path(__file__).parents[2]
ARCH = dict(embed_dims=64, num_layers=2, num_heads=1, feedforward_channels=64)
SMALL = ('model.size=32', 'test_dataloader.num_workers=0', 'test_dataloader.batch_size=4')


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    model = FrozenFeatures(
        dict(type='PretrainedViT', arch=ARCH, img_size=32, patch_size=8, out_type='raw')
    )
    path = tmp_path_factory.mktemp('weights') / 'vit.pth'
    state = {f'backbone.{key}': value for key, value in model.backbone.state_dict().items()}
    torch.save(dict(state_dict=state), path)
    return path


def folder(root, classes=('cat', 'cow', 'dog'), splits=('train', 'val'), images=4):
    """A folder of each class in each split; colours tell the classes apart."""
    rng = np.random.default_rng(0)
    for split in splits:
        for i, name in enumerate(classes):
            (root / split / name).mkdir(parents=True)
            for k in range(images):
                pixels = rng.integers(0, 120, (36 + k, 40, 3))
                pixels[..., i % 3] += 100
                Image.fromarray(pixels.astype(np.uint8)).save(root / split / name / f'{k}.png')
    return root


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """A small data set in each format, by the environment variable of the configs."""
    root = tmp_path_factory.mktemp('data')
    wnids = imagenet100_wnids()
    write_pickles(root / 'cifar', 10)
    write_binary(root / 'cifar', 100)
    return dict(
        DATA_ROOT=folder(root / 'folder'),
        IMAGENET_ROOT=folder(root / 'imagenet', wnids[:3]),
        IMAGENET100_ROOT=folder(root / 'imagenet100', [*wnids, 'n00000000'], images=1),
        CIFAR_ROOT=root / 'cifar',
        FLOWERS_ROOT=flowers(root / 'flowers'),
        PETS_ROOT=pets(root / 'pets'),
        REVISITED_ROOT=landmarks(landmarks(root / 'revisited'), 'rparis6k'),
        MINIIMAGENET_ROOT=mini(root / 'mini', ['n021.jpg']),
    )


@pytest.fixture
def run(fork_server, checkpoint, data, tmp_path):
    """Runs tools/test.py; gives exit codes, what was printed, and the folder of the work."""

    def run(config, *options, world=1, work='work', weights=checkpoint):
        argv = [ROOT / 'configs' / config, weights, '--work-dir', tmp_path / work]
        argv += ['--launcher', 'pytorch'] if world > 1 else []
        argv += ['--cfg-options', *SMALL, *options]
        logs = [tmp_path / f'{work}_{rank}.txt' for rank in range(world)]
        variables = {name: str(path) for name, path in data.items()}
        processes = fork_server.launch(ROOT / 'tools' / 'test.py', argv, logs, variables)
        codes = fork_server.wait(*processes, limit=60)
        return codes, logs[0].read_text(), tmp_path / work

    return run


def report(work, name):
    (path,) = work.glob(f'*/{name}.json')
    return json.loads(path.read_text())


def numbers_of_one_and_two(run, config, name, *options):
    found = []
    for world in (1, 2):
        codes, log, work = run(config, *options, world=world, work=f'work{world}')
        assert codes == [0] * world, log
        content = report(work, name)
        del content['numbers']['settings']
        found.append(content)
    assert content['checkpoint']['sha256'] and content['config'].endswith(config)
    return [each['numbers'] for each in found]


KNN = sorted(path.name for path in (ROOT / 'configs' / 'knn').glob('*.py'))


@pytest.mark.parametrize('config', KNN)
def test_every_knn_config_runs(run, config):
    codes, log, work = run(f'knn/{config}', 'test_evaluator.0.k=(1,2)')
    assert codes == [0], log
    numbers = report(work, 'knn')['numbers']
    sizes = [each['images'] for each in numbers['sets'].values()]
    assert (
        sizes
        == {
            'vit_folder.py': [12, 12],
            'vit_imagenet.py': [12, 12],
            'vit_in100.py': [100, 100],
            'vit_cifar10.py': [30, 6],
            'vit_cifar100.py': [6, 6],
            'vit_flowers.py': [4, 4],
            'vit_pets.py': [6, 6],
        }[config]
    )
    assert set(numbers['accuracy']) == {'cls', 'pat', 'hybrid'}
    if config == 'vit_folder.py':  # mean colours of patches tell the classes apart
        assert numbers['accuracy']['pat']['1'] > 60


def test_knn_of_two_processes_is_that_of_one(run):
    one, two = numbers_of_one_and_two(run, 'knn/vit_folder.py', 'knn', 'test_evaluator.0.k=(1,5)')
    assert one == two


def test_a_second_test_reads_the_kept_features(run, data):
    options = ('test_evaluator.0.k=3', 'test_cfg.cache_dir=features')
    first, log, work = run('knn/vit_folder.py', *options)
    kept = sorted((work / 'features').iterdir())
    assert first == [0] and len(kept) == 2, log
    times = [path.stat().st_mtime_ns for path in kept]
    (before,) = work.glob('*/knn.json')
    before.rename(work / 'knn.json')
    second, log, _ = run('knn/vit_folder.py', *options)
    assert second == [0], log
    assert [path.stat().st_mtime_ns for path in sorted((work / 'features').iterdir())] == times
    accuracy = json.loads((work / 'knn.json').read_text())['numbers']['accuracy']
    assert report(work, 'knn')['numbers']['accuracy'] == accuracy


@pytest.mark.parametrize(
    'options, words',
    [
        (['test_evaluator.0.k=13'], 'k = 13 neighbours are asked for'),
        (['test_dataloader.dataset.sets.train.data_root=gone'], "no folder 'gone'"),
        (['test_dataloader.dataset.sets.train.data_rot=a'], 'nothing reads this key'),
        (['test_cfg.scales=()'], 'test_cfg.scales must be numbers above 0'),
        (['model.stride=4'], 'model.stride is for maps of patches'),
        (['model.debias=mean'], 'model.debias is for maps of patches'),
    ],
)
def test_mistakes_get_a_sentence(run, options, words):
    codes, log, _ = run('knn/vit_folder.py', 'test_evaluator.0.k=1', *options)
    assert codes == [2] and words in log and 'Traceback' not in log, log


FEW_SHOT = sorted(path.name for path in (ROOT / 'configs' / 'few_shot').glob('*.py'))
EPISODES = ['test_evaluator.0.ways=2', 'test_evaluator.0.queries=1', 'test_evaluator.0.episodes=9']


@pytest.mark.parametrize('config', FEW_SHOT)
def test_every_few_shot_config_runs(run, config):
    codes, log, work = run(f'few_shot/{config}', *EPISODES)
    assert codes == [0], log
    numbers = report(work, 'few_shot')['numbers']
    assert len(numbers['accuracy']['seeds']) == 3 and len(numbers['f1_curve']) == 9
    absent = numbers['sets']['test']['absent']
    assert len(absent) == (config == 'vit_miniimagenet.py')


def test_few_shot_of_two_processes_is_that_of_one(run):
    one, two = numbers_of_one_and_two(run, 'few_shot/vit_folder.py', 'few_shot', *EPISODES)
    assert one == two


def test_classes_with_too_few_images_get_a_sentence(run):
    codes, log, _ = run('few_shot/vit_pets.py')
    assert codes == [2] and 'only 0 of 2 classes have so many' in log, log


RETRIEVAL = sorted(path.name for path in (ROOT / 'configs' / 'retrieval').glob('*.py'))


@pytest.mark.parametrize('config', RETRIEVAL)
def test_every_retrieval_config_runs(run, config):
    codes, log, work = run(f'retrieval/{config}')
    assert codes == [0], log
    protocols = report(work, 'retrieval')['numbers']['protocols']
    assert set(protocols) == ({'classes'} if 'folder' in config else {'medium', 'hard'})
    assert all(0 < each['map'] <= 1 for each in protocols.values())


def test_retrieval_of_three_scales_and_of_two_processes(run):
    options = ['model.size=40', 'test_cfg.scales=(1,0.7071,0.5)']
    one, two = numbers_of_one_and_two(run, 'retrieval/vit_roxford5k.py', 'retrieval', *options)
    assert one == two
    assert one['sets']['database']['images'] == 5 and one['protocols']['medium']['queries'] == 2


def test_retrieval_within_one_set_and_with_an_unreadable_image(run, data):
    (data['DATA_ROOT'] / 'train' / 'cat' / 'broken.jpg').write_bytes(b'broken')
    try:
        option = 'test_dataloader.dataset.sets.query=None'
        codes, log, work = run('retrieval/vit_folder.py', option)
    finally:
        (data['DATA_ROOT'] / 'train' / 'cat' / 'broken.jpg').unlink()
    assert codes == [0], log
    numbers = report(work, 'retrieval')['numbers']
    assert [Path(path).name for path in numbers['sets']['database']['unreadable']] == ['broken.jpg']
    assert numbers['protocols']['classes']['queries'] == 12 and 'query' not in numbers['sets']
    assert 'database: 1 image cannot be read' in log


VIEWS = ['test_cfg.views=3', 'test_dataloader.batch_size=2']


def test_variance_of_two_processes_is_that_of_one(run, data):
    (data['DATA_ROOT'] / 'train' / 'cat' / 'broken.jpg').write_bytes(b'broken')
    try:
        one, two = numbers_of_one_and_two(run, 'variance/vit_folder.py', 'feature_variance', *VIEWS)
    finally:
        (data['DATA_ROOT'] / 'train' / 'cat' / 'broken.jpg').unlink()
    assert one == two and one['images'] == 24 and len(one['unreadable']) == 1
    assert one['image']['mean'] > 0 and one['patch']['mean'] > 0


@pytest.mark.parametrize(
    'option, words',
    [('test_cfg.views=1', 'at least 2 views'), ('model.fit=long', "model.fit='crop' or 'stretch'")],
)
def test_variance_of_nothing_gets_a_sentence(run, option, words):
    codes, log, _ = run('variance/vit_folder.py', option)
    assert codes == [2] and words in log and 'Traceback' not in log, log
