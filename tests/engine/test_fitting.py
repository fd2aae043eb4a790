"""A small folder or a short run is fitted, anything else stays as it is."""

import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import PARAM_SCHEDULERS

from mmc_plugin.engine import cli
from mmc_plugin.engine.fitting import fit_to_data
from mmc_plugin.engine.training import training_config


def folder(path, images):
    path.mkdir()
    for i in range(images):
        (path / f'{i}.jpg').write_bytes(b'x')
    (path / 'empty.png').touch()  # left out by the data set, too
    (path / 'note.txt').write_text('x')
    return str(path)


def fit(root, epochs=200, launcher='none', **loader):
    cfg = cli.load_config(
        'mmc/vits_folder.py',
        {'train_dataloader.dataset.data_root': root, 'train_cfg.max_epochs': epochs},
        launcher,
    )
    cfg.train_dataloader.update(num_workers=8, **loader)
    before = copy.deepcopy(cfg._cfg_dict)
    fit_to_data(cfg)
    return cfg, before


@pytest.mark.parametrize(
    'images, batch, workers', [(31, 31, 1), (2, 2, 1), (96, 96, 1), (200, 96, 2), (900, 96, 8)]
)
def test_batch_and_workers_follow_the_number_of_images(images, batch, workers, tmp_path, capsys):
    cfg, before = fit(folder(tmp_path / 'a', images))
    assert cfg.train_dataloader.batch_size == batch
    assert cfg.train_dataloader.num_workers == workers
    said = capsys.readouterr().out
    assert (f'batches of {batch} images, not 96' in said) == (batch < 96)
    assert (f'workers: {workers}, not 8' in said) == (workers < 8)
    if images == 900:
        assert said == '' and cfg._cfg_dict == before


@pytest.mark.parametrize(
    'epochs, warm_up', [(200, 10), (100, 10), (99, 9), (10, 1), (3, 1), (2, 1)]
)
def test_warm_up_is_at_most_a_tenth(epochs, warm_up, tmp_path, capsys):
    cfg, before = fit(folder(tmp_path / 'a', 900), epochs)
    first, second = cfg.param_scheduler
    assert (first.end, second.begin) == (warm_up, warm_up)
    words = f'warm-up of {warm_up} epoch{"s" * (warm_up != 1)}, not 10'
    assert (words in capsys.readouterr().out) == (warm_up < 10)


def test_a_single_epoch_has_none(tmp_path):
    cfg, _ = fit(folder(tmp_path / 'a', 900), 1)
    (only,) = cfg.param_scheduler
    assert only.type == 'CosineAnnealingLR' and only.begin == 0


@pytest.mark.parametrize('epochs', [1, 2, 3, 4, 19, 30, 200])
@pytest.mark.parametrize('images, length', [(31, 1), (200, 2)])
def test_the_rate_reaches_its_highest_value(images, length, epochs, tmp_path):
    cfg, _ = fit(folder(tmp_path / 'a', images), epochs)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    more = dict(optimizer=optimizer, epoch_length=length)
    schedulers = [
        PARAM_SCHEDULERS.build({'end': epochs} | each, default_args=more)
        for each in cfg.param_scheduler
    ]
    rates = []
    for _ in range(epochs * length):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for each in schedulers:
            each.step()
    assert max(rates) == pytest.approx(1.0)


@pytest.mark.parametrize('schedule', [None, dict(type='CosineAnnealingLR', _delete_=True)])
def test_there_may_be_no_schedule_or_one(schedule, tmp_path):
    root = folder(tmp_path / 'a', 31)
    options = {'train_dataloader.dataset.data_root': root, 'param_scheduler': schedule}
    cfg = training_config('mmc/vits_folder.py', options)
    assert isinstance(cfg.param_scheduler, type(None) if schedule is None else dict)
    assert cfg.train_dataloader.batch_size == 31


def test_processes_share_the_images(tmp_path, monkeypatch):
    monkeypatch.setenv('WORLD_SIZE', '4')
    cfg, _ = fit(folder(tmp_path / 'a', 42), launcher='pytorch')
    assert cfg.train_dataloader.batch_size == 10


def test_what_cannot_be_fitted_is_left_to_the_data_set(tmp_path):
    for root in (str(tmp_path / 'none'), folder(tmp_path / 'a', 1)):
        cfg, _ = fit(root)
        assert cfg.train_dataloader.batch_size == 96


def test_only_where_the_config_asks_for_it(tmp_path):
    cfg = Config(dict(train_cfg=dict(max_epochs=1)))
    fit_to_data(cfg)
    assert cfg.train_cfg == dict(max_epochs=1)
