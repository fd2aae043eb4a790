"""Settings that fit the machine, and which errors become a sentence."""

import errno
import logging
import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model.weight_init import PretrainedInit
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmc_plugin.datasets.transforms import GMMLMask
from mmc_plugin.engine import cli
from mmc_plugin.errors import InputError, RunError


def test_find_config_takes_a_file_before_a_name_of_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, 'ROOT', tmp_path / 'package')
    shipped = tmp_path / 'package' / 'configs' / 'mmc' / 'a.py'
    shipped.parent.mkdir(parents=True)
    shipped.touch()
    assert cli.find_config('mmc/a.py') == cli.find_config('configs/mmc/a.py') == str(shipped)
    own = tmp_path / 'mmc' / 'a.py'
    own.parent.mkdir()
    own.touch()
    assert cli.find_config('mmc/a.py') == 'mmc/a.py'
    with pytest.raises(FileNotFoundError, match='the config mmc/b.py is neither'):
        cli.find_config('mmc/b.py')


def test_work_dir_comes_from_the_command_then_the_config_then_its_name(tmp_path):
    path = tmp_path / 'some.py'
    path.write_text('a = 1\n')
    assert cli.load_config(str(path), None).work_dir == 'work_dirs/some'
    assert cli.load_config(str(path), dict(work_dir='mine', a=2)).work_dir == 'mine'
    assert cli.load_config(str(path), dict(work_dir='mine'), work_dir='x').work_dir == 'x'


def test_none_takes_a_hook_away(tmp_path):
    path = tmp_path / 'some.py'
    path.write_text("default_hooks = dict(timer=None, panel=None, mine=dict(type='EMAHook'))\n")
    hooks = cli.load_config(str(path), {'default_hooks.other': None}).default_hooks
    assert hooks == dict(timer=None, mine=dict(type='EMAHook'))
    # What mmengine takes.
    runner = Runner.__new__(Runner)
    runner._hooks = []
    runner.register_default_hooks(dict.fromkeys(cli.HOST_HOOKS))
    assert runner.hooks == []
    with pytest.raises(AssertionError):
        runner.register_default_hooks(dict(panel=None))


def complete(cpus, monkeypatch, loader, **options):
    monkeypatch.setattr(cli, 'available_cpus', lambda: cpus)
    cfg = Config(dict(loader=loader))
    cli.complete_loader(cfg, 'loader', **options)
    return cfg.loader


def test_workers_are_capped_and_said(monkeypatch, capsys):
    loader = complete(2, monkeypatch, dict(num_workers=8))
    assert loader.num_workers == 2
    assert '8 workers asked for, 2 used' in capsys.readouterr().out
    assert complete(2, monkeypatch, dict(num_workers=1)).num_workers == 1
    assert capsys.readouterr().out == ''


def test_workers_are_shared_among_the_processes_of_a_node(monkeypatch):
    monkeypatch.setattr(cli.os, 'sched_getaffinity', lambda _: set(range(8)))
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '3')
    assert cli.available_cpus() == 2
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '16')
    assert cli.available_cpus() == 1


@pytest.mark.parametrize('gpu', [True, False])
def test_memory_is_pinned_only_for_a_gpu(gpu, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: gpu)
    assert complete(2, monkeypatch, dict()).pin_memory is gpu
    assert complete(2, monkeypatch, dict(pin_memory=True)).pin_memory is True
    assert complete(2, monkeypatch, dict(pin_memory=True), pin_memory=False).pin_memory is False


def test_persistent_workers_need_workers(monkeypatch):
    loader = complete(2, monkeypatch, dict(persistent_workers=True, prefetch_factor=4))
    assert loader.persistent_workers is False and 'prefetch_factor' not in loader
    loader = complete(2, monkeypatch, dict(num_workers=2, prefetch_factor=4))
    assert loader.persistent_workers is True and loader.prefetch_factor == 4
    loader = complete(2, monkeypatch, dict(num_workers=2), persistent_workers=False)
    assert loader.persistent_workers is False


def test_collate_defaults_to_the_hosts_and_absent_loaders_stay_absent(monkeypatch):
    assert complete(2, monkeypatch, dict()).collate_fn == dict(type='default_collate')
    assert complete(2, monkeypatch, dict(collate_fn='mine')).collate_fn == 'mine'
    assert complete(2, monkeypatch, None) is None


def test_launchers_other_than_torchrun_need_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(ValueError, match='the launcher slurm needs a GPU'):
        cli.prepare_launch(Config(dict(launcher='slurm')))


@pytest.mark.skipif(not Path('/proc/self/task').is_dir(), reason='needs /proc')
def test_no_thread_of_a_launch_outlives_it(fork_server, tmp_path):
    # One that frees a tensor while Python ends would abort the process.
    assert fork_server.wait(*fork_server.launch(__file__, [], [tmp_path / 'log.txt'])) == [0]


def leave() -> None:
    """Train for a step, with a model that only a collection frees, and leave the group."""

    def threads() -> int:
        return len([*Path('/proc/self/task').iterdir()])

    before = threads()
    cli.prepare_launch(Config(dict(launcher='pytorch')))
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(2, 2))
    model(torch.ones(1, 2)).sum().backward()
    model.itself = model
    del model
    assert threads() > before
    cli.end_launch()
    # On a busy machine one that has ended stands in /proc for a moment.
    limit = time.monotonic() + 5
    while threads() > before and time.monotonic() < limit:
        time.sleep(0.01)
    assert threads() == before


def outcome(source: str, capsys) -> str | type:
    """The sentence printed for an error, or the type of an error that is let through."""
    try:
        with cli.one_sentence_errors():
            exec(source, dict(InputError=InputError, RunError=RunError))
    except SystemExit as stop:
        assert stop.code == 2
        return capsys.readouterr().err
    except Exception as error:
        return type(error)
    raise AssertionError('the code did not fail')


IN_A_HOST = (
    "try:\n    raise InputError('no images')\n"
    "except ValueError as error:\n    raise TypeError('class X: no images') from error"
)


@pytest.mark.parametrize(
    ('source', 'expected'),
    [
        ("raise InputError('no\\n  images')", 'error: no images\n'),
        ("raise RunError('no images')", 'error: no images\n'),
        (IN_A_HOST, 'error: no images\n'),
        ("raise ValueError('no images')", ValueError),
        ("raise KeyError('no images')", KeyError),
        ("int('x')", ValueError),
        ('import torch; torch.ones(2, 3) @ torch.ones(2, 3)', RuntimeError),
        ("raise FileNotFoundError('gone')", 'error: gone\n'),
        ("open('/no/such')", "error: [Errno 2] No such file or directory: '/no/such'\n"),
    ],
)
def test_only_what_is_raised_for_the_user_becomes_a_sentence(source, expected, capsys, monkeypatch):
    monkeypatch.delenv('RANK', raising=False)
    assert outcome(source, capsys) == expected
    monkeypatch.setenv('MMC_TRACEBACK', '1')
    assert isinstance(outcome(source, capsys), type)


def test_a_full_disk_is_named_wherever_it_is_met(capsys, monkeypatch):
    monkeypatch.delenv('RANK', raising=False)
    number = errno.ENOSPC
    source = (
        f"try:\n    raise OSError({number}, 'No space left on device', 'epoch_3.pth')\n"
        "except OSError:\n    raise RuntimeError('writer failed')"
    )
    expected = 'error: the disk is full while writing epoch_3.pth: free some space, then go on'
    assert outcome(source, capsys).startswith(expected)


def test_a_full_disk_is_named_when_torch_meets_it(capsys, monkeypatch):
    monkeypatch.delenv('RANK', raising=False)
    source = "import torch\nwith open('/dev/full', 'wb') as f:\n    torch.save(torch.ones(9), f)"
    assert outcome(source, capsys).startswith('error: the disk is full')


def test_processes_say_which_one_they_are(capsys, monkeypatch):
    monkeypatch.setenv('RANK', '3')
    assert outcome("raise InputError('no')", capsys) == 'error (process 3): no\n'


class _Failing(torch.utils.data.Dataset):
    """Raises as a transform of ours does, or as foreign code does."""

    def __init__(self, ours: bool) -> None:
        self.ours = ours

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int):
        if self.ours:
            return GMMLMask(align=15)(dict(img=[np.zeros((224, 224, 3), np.uint8)] * 2))
        raise ValueError('foreign')


@pytest.mark.parametrize('workers', [0, 1])
def test_a_sentence_of_ours_survives_a_dataloader_worker(workers, capsys):
    with pytest.raises(SystemExit) as stop, cli.one_sentence_errors():
        next(iter(DataLoader(_Failing(ours=True), num_workers=workers)))
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith('error: ') and '224x224' in line and 'align=15' in line


def test_a_foreign_error_in_a_worker_keeps_its_traceback():
    with pytest.raises(ValueError, match='foreign'), cli.one_sentence_errors():
        next(iter(DataLoader(_Failing(ours=False), num_workers=1)))


class Harm:
    """A pickle that makes a folder when it is loaded."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_checkpoints_that_would_run_code_are_refused(tmp_path):
    good, evil = str(tmp_path / 'good.pth'), str(tmp_path / 'evil.pth')
    torch.save(dict(state_dict=dict(a=torch.ones(1)), meta={}), good)
    torch.save(dict(state_dict=dict(a=torch.ones(1)), meta=Harm(tmp_path / 'harm')), evil)
    part = lambda path: dict(backbones=[dict(init_cfg=dict(type='Pretrained', checkpoint=path))])
    kinds = ('mmengine.Pretrained', 'mmpretrain.PretrainedInit', PretrainedInit)
    spelled = [
        lambda path, kind=kind: dict(init_cfg=[dict(type=kind, checkpoint=path)]) for kind in kinds
    ]
    short = lambda path: dict(backbone=dict(pretrained=path))
    models = [('model', make) for make in (part, short, *spelled)]
    for key, make in (('load_from', str), *models):
        cli.check_checkpoints(Config({key: make(good)}), allow_pickle=False)
        with pytest.raises(ValueError, match=r'evil\.pth is not read: it holds (posix|nt)\.mkdir'):
            cli.check_checkpoints(Config({key: make(evil)}), allow_pickle=False)
        with pytest.raises(FileNotFoundError, match='gone.pth does not exist'):
            cli.check_checkpoints(Config({key: make('gone.pth')}), allow_pickle=False)
        for path in ('https://somewhere/a.pth', 'open-mmlab:resnet', str(tmp_path)):
            with pytest.raises(ValueError, match=f'{path} is no file on this disk.*--allow-pickle'):
                cli.check_checkpoints(Config({key: make(path)}), allow_pickle=False)
        cli.check_checkpoints(Config({key: make(evil)}), allow_pickle=True)
    cli.check_checkpoints(Config(dict(load_from=None)), allow_pickle=False)
    assert not (tmp_path / 'harm').exists()


def test_a_log_that_cannot_be_written_is_no_traceback(capsys, monkeypatch):
    handler = logging.StreamHandler(open('/dev/full', 'w', buffering=1))
    logger = logging.Logger('full')
    logger.addHandler(handler)
    with cli.one_sentence_errors():
        logger.warning('a line')
    assert capsys.readouterr().err == ''
    monkeypatch.setenv('MMC_TRACEBACK', '1')
    with cli.one_sentence_errors():
        logger.warning('a line')
    assert 'No space left on device' in capsys.readouterr().err


if __name__ == '__main__':
    leave()
