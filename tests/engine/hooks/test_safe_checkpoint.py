import errno
import itertools
import os
import resource
import shutil
import signal
import subprocess
from contextlib import contextmanager

import pytest
import torch
import torch.multiprocessing as multiprocessing
from mmengine.config import Config
from mmengine.fileio import LocalBackend
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import Dataset

from mmc_plugin import durable
from mmc_plugin.engine.checkpoint import inspect_checkpoint
from mmc_plugin.engine.hooks.safe_checkpoint import SafeCheckpointHook

EPOCHS = 4
number = itertools.count()


class Points(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        return dict(inputs=torch.full((4,), float(index)))


class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 64)

    def forward(self, inputs, mode='loss'):
        return dict(loss=self.layer(torch.stack(inputs)).square().mean())


@pytest.fixture(autouse=True)
def plain_config_text(monkeypatch):
    """yapf takes most of the time of these small runs."""
    monkeypatch.setattr(Config, 'pretty_text', property(lambda config: ''))


def make_runner(work_dir, resume=False, hooks=(), **arguments) -> Runner:
    torch.set_num_threads(1)
    return Runner(
        model=Line(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            dataset=Points(), sampler=dict(type='DefaultSampler', shuffle=False), batch_size=4
        ),
        train_cfg=dict(by_epoch=True, max_epochs=EPOCHS),
        optim_wrapper=dict(optimizer=dict(type='Adam', lr=0.01)),
        default_hooks=dict(checkpoint=SafeCheckpointHook(**dict(dict(interval=1), **arguments))),
        custom_hooks=list(hooks),
        resume=resume,
        log_level='WARNING',
        experiment_name=f'run {next(number)}',
        env_cfg=dict(dist_cfg=dict(backend='gloo')),
    )


def names(folder) -> set[str]:
    return {name for name in os.listdir(folder) if 'epoch' in name or 'last' in name}


def test_writes_what_the_host_writes(tmp_path):
    make_runner(tmp_path, max_keep_ckpts=2).train()
    assert names(tmp_path) == {'epoch_3.pth', 'epoch_4.pth', 'last_checkpoint'}
    newest = str(tmp_path / 'epoch_4.pth')
    assert (tmp_path / 'last_checkpoint').read_text() == newest
    assert inspect_checkpoint(newest)['epoch'] == 4
    info = torch.load(newest, weights_only=False)['message_hub']['runtime_info']
    assert info['last_ckpt'] == newest and list(info['keep_ckpt_ids']) == [3, 4]


def test_older_ones_become_weights_only(tmp_path):
    make_runner(tmp_path, keep_whole=2).train()
    found = [set(torch.load(tmp_path / f'epoch_{i}.pth', weights_only=False)) for i in (1, 2, 3, 4)]
    assert found[0] == found[1] == {'meta', 'state_dict'}
    assert found[2] == found[3] >= {'meta', 'state_dict', 'optimizer'}
    (tmp_path / 'epoch_4.pth').write_text('')
    runner = make_runner(tmp_path, resume=True, keep_whole=2)
    runner.train()  # on from 3
    assert runner.epoch == 4 and inspect_checkpoint(str(tmp_path / 'epoch_4.pth'))['epoch'] == 4
    for wrong in (0, -2, True, 1.5):
        with pytest.raises(ValueError, match='keep_whole must be a number of checkpoints'):
            SafeCheckpointHook(keep_whole=wrong)


def test_order_of_events(tmp_path, monkeypatch):
    """Written to a temporary name, synced, renamed, named as the last; then the old one goes."""
    events = []

    def note(module, name):
        original = getattr(module, name)

        def noted(*arguments):
            paths = [str(a) for a in arguments if str(a).startswith(str(tmp_path))]
            if paths and ('epoch' in paths[0] or 'last' in paths[0]):
                events.append((name, *(os.path.basename(path) for path in paths)))
            return original(*arguments)

        monkeypatch.setattr(module, name, noted)

    original_put = LocalBackend.put

    def put(self, content, path):
        events.append(('put', os.path.basename(path)))
        original_put(self, content, path)

    monkeypatch.setattr(LocalBackend, 'put', put)
    note(durable, '_sync')
    note(os, 'replace')
    note(os, 'remove')
    make_runner(tmp_path, max_keep_ckpts=1).train()
    assert events[-6:] == [
        ('put', 'epoch_4.pth.tmp'),
        ('_sync', 'epoch_4.pth.tmp'),
        ('replace', 'epoch_4.pth.tmp', 'epoch_4.pth'),
        ('_sync', 'last_checkpoint.tmp'),
        ('replace', 'last_checkpoint.tmp', 'last_checkpoint'),
        ('remove', 'epoch_3.pth'),
    ]


def test_leftovers_are_removed_at_the_start(tmp_path):
    for name in ('epoch_7.pth.tmp', 'best_acc_epoch_7.pth.tmp', 'last_checkpoint.tmp', 'my.tmp'):
        (tmp_path / name).write_text('half')
    runner = make_runner(tmp_path, interval=-1, save_last=False)
    runner.train()
    assert {name for name in os.listdir(tmp_path) if name.endswith('.tmp')} == {'my.tmp'}


class Scores(Hook):
    """Stands for an evaluation with a given score after each epoch."""

    priority = 'LOWEST'

    def __init__(self, hook, scores):
        self.hook, self.scores = hook, scores

    def after_train_epoch(self, runner):
        self.hook.after_val_epoch(runner, dict(acc=self.scores[runner.epoch]))


def test_best_checkpoint(tmp_path, monkeypatch):
    seen = []
    original_put = LocalBackend.put

    def put(self, content, path):
        seen.append((os.path.basename(path), [n for n in os.listdir(tmp_path) if 'best' in n]))
        original_put(self, content, path)

    monkeypatch.setattr(LocalBackend, 'put', put)
    runner = make_runner(tmp_path, save_best='acc', rule='greater', max_keep_ckpts=1)
    hook = next(hook for hook in runner.hooks if isinstance(hook, SafeCheckpointHook))
    runner.register_hook(Scores(hook, [0.1, 0.3, 0.2, 0.4]))
    runner.train()
    best = [row for row in seen if row[0].startswith('best')]
    # Named by the epoch from 0. The old one is there until the new one is.
    assert best == [
        ('best_acc_epoch_0.pth.tmp', []),
        ('best_acc_epoch_1.pth.tmp', ['best_acc_epoch_0.pth']),
        ('best_acc_epoch_3.pth.tmp', ['best_acc_epoch_1.pth']),
    ]
    assert {name for name in os.listdir(tmp_path) if 'best' in name} == {'best_acc_epoch_3.pth'}


def test_plain_runner_resumes_from_the_newest_whole_one(tmp_path):
    make_runner(tmp_path).train()
    for name in ('epoch_4.pth', 'epoch_3.pth'):
        with open(tmp_path / name, 'r+b') as file:
            file.truncate(1000)
    runner = make_runner(tmp_path, resume=True)
    runner.train_loop  # noqa: B018  builds it
    runner.call_hook('before_run')
    runner.load_or_resume()
    assert runner.epoch == 2
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'epoch_2.pth')


def test_plain_runner_starts_afresh_where_nothing_is_whole(tmp_path):
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_1.pth'))
    (tmp_path / 'epoch_1.pth').write_text('')
    runner = make_runner(tmp_path, resume=True)
    runner.train()
    assert runner.epoch == EPOCHS
    assert inspect_checkpoint(str(tmp_path / 'epoch_1.pth'))['epoch'] == 1


def rewrite(path, **info):
    """Let a checkpoint say other things about its run."""
    checkpoint = torch.load(path, weights_only=False)
    checkpoint['message_hub']['runtime_info'].update(info)
    checkpoint['message_hub']['resumed_keys'].update(dict.fromkeys(info, True))
    torch.save(checkpoint, path)


def test_a_checkpoint_does_not_say_what_is_removed(tmp_path, monkeypatch):
    """Files and folders of others stay, by whatever name a checkpoint knows them."""
    victim = tmp_path / 'victim'
    (victim / 'epoch_1.pth').mkdir(parents=True)
    (victim / 'epoch_1.pth' / 'thesis.tex').write_text('')
    (victim / 'best_acc_epoch_1.pth').write_text('of another run')
    run = tmp_path / 'run'
    make_runner(run, interval=1).train()
    (run / 'photos').mkdir()
    (run / 'epoch_9.pth').mkdir()
    (run / 'epoch_9.pth' / 'thesis.tex').write_text('')
    (run / 'epoch_8.pth').symlink_to(victim / 'best_acc_epoch_1.pth')
    shutil.copy(run / 'epoch_2.pth', tmp_path / 'epoch_2.pth')
    before = set(tmp_path.rglob('*')) - set(run.glob('epoch_[1-4].pth'))
    for named in (victim, victim / 'best_acc_epoch_1.pth', run / 'photos', run, ['x'], '/'):
        named = named if isinstance(named, list) else str(named)
        shutil.copy(tmp_path / 'epoch_2.pth', run / 'epoch_2.pth')
        rewrite(
            run / 'epoch_2.pth', best_ckpt=named, last_ckpt=named,
            keep_ckpt_ids=['../../victim/epoch_1', 9, -1, True, 8, 9, 8],
        )  # fmt: skip
        runner = make_runner(run, resume=True, save_best='acc', rule='greater', max_keep_ckpts=2)
        runner._load_from = str(run / 'epoch_2.pth')
        hook = next(hook for hook in runner.hooks if isinstance(hook, SafeCheckpointHook))
        runner.register_hook(Scores(hook, [0.1, 0.3, 0.2, 0.4]))
        runner.train()
        assert before - set(tmp_path.rglob('*')) == set(), named
        assert (victim / 'best_acc_epoch_1.pth').read_text() == 'of another run'


def test_a_run_that_was_copied_replaces_the_best_one_of_its_own(tmp_path):
    first, second = tmp_path / 'first', tmp_path / 'second'
    runner = make_runner(first, save_best='acc', rule='greater')
    hook = next(hook for hook in runner.hooks if isinstance(hook, SafeCheckpointHook))
    runner.register_hook(Scores(hook, [0.1, 0.3, 0.2, 0.2]))
    runner.train()
    shutil.copytree(first, second)
    (second / 'last_checkpoint').write_text(str(second / 'epoch_3.pth'))
    runner = make_runner(second, resume=True, save_best='acc', rule='greater')
    runner._load_from = str(second / 'epoch_3.pth')
    hook = next(hook for hook in runner.hooks if isinstance(hook, SafeCheckpointHook))
    runner.register_hook(Scores(hook, [0.1, 0.3, 0.2, 0.4]))
    runner.train()
    assert [path.name for path in first.glob('best*')] == ['best_acc_epoch_1.pth']
    assert [path.name for path in second.glob('best*')] == ['best_acc_epoch_3.pth']


@contextmanager
def file_size_limit(size: int):
    """No file of this process may grow larger."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


class Grow(Hook):
    """Makes the checkpoint of one epoch larger than the others."""

    def __init__(self, epoch, size):
        self.epoch, self.size = epoch, size

    def before_save_checkpoint(self, runner, checkpoint):
        if runner.epoch + 1 == self.epoch:
            checkpoint['ballast'] = torch.zeros(self.size, dtype=torch.uint8)


def test_write_that_fails_leaves_what_was_there(tmp_path):
    runner = make_runner(tmp_path, hooks=[Grow(3, 3 << 20)], max_keep_ckpts=1)
    with file_size_limit(2 << 20), pytest.raises(RuntimeError) as caught:
        runner.train()
    message = str(caught.value)
    assert message.startswith(
        f'The checkpoint epoch_3.pth cannot be written to {tmp_path}: File too large (about 0.'
    )
    assert message.endswith('then go on with --resume.') and '\n' not in message
    assert names(tmp_path) == {'epoch_2.pth', 'last_checkpoint'}
    assert inspect_checkpoint((tmp_path / 'last_checkpoint').read_text())['epoch'] == 2


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MB."""
    folder = tmp_path / 'disk'
    folder.mkdir()
    command = ['mount', '-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip('a small file system can be mounted by root only')
    yield folder
    subprocess.run(['umount', '-l', str(folder)], check=True)


def test_full_disk(tmp_path, small_disk):
    work_dir = tmp_path / 'run'
    out = small_disk / 'run'  # the host adds the work directory's name
    runner = make_runner(work_dir, hooks=[Grow(3, 3 << 20)], out_dir=str(small_disk))
    with pytest.raises(RuntimeError, match='epoch_3.pth cannot be written .* No space left on dev'):
        runner.train()
    assert names(out) == {'epoch_1.pth', 'epoch_2.pth'}
    assert inspect_checkpoint((work_dir / 'last_checkpoint').read_text())['epoch'] == 2


def test_known_lack_of_space_is_said_before_writing(tmp_path, monkeypatch):
    puts = []
    monkeypatch.setattr(LocalBackend, 'put', lambda self, content, path: puts.append(path))
    usage = shutil.disk_usage(tmp_path)
    runner = make_runner(tmp_path)
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage._replace(free=100))
    with pytest.raises(RuntimeError) as caught:
        runner.train()
    assert str(caught.value).startswith(
        f'Checkpoints cannot be written to {tmp_path}: No space left on device (0.0 MB are free)'
    )
    assert runner.iter == 0 and puts == []


def test_previous_size_tells_the_need(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    make_runner(tmp_path, interval=2).train()
    size = os.path.getsize(tmp_path / 'epoch_4.pth')
    hook = SafeCheckpointHook(interval=2)
    runner = make_runner(tmp_path, max_keep_ckpts=1)
    hook.before_train(runner)
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage._replace(free=size - 1))
    with pytest.raises(RuntimeError, match=r'\(about .* MB are needed, .* MB are free\)'):
        hook._save_checkpoint_with_step(runner, 9, dict(epoch=9, iter=9))
    assert not (tmp_path / 'epoch_9.pth').exists()


def test_another_backend_is_the_hosts_business(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError('written by the hook')

    monkeypatch.setattr(SafeCheckpointHook, '_write', refuse)
    with pytest.raises(AssertionError):
        make_runner(tmp_path / 'local').train()
    make_runner(tmp_path / 'other', file_client_args=dict(backend='disk')).train()
    assert inspect_checkpoint(str(tmp_path / 'other' / f'epoch_{EPOCHS}.pth'))['epoch'] == EPOCHS


def fail_on_main(rank: int, port: int, folder: str) -> None:
    """Two processes of which the main one cannot write; exits with 3 if both are told."""
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE='2',
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=str(port),
    )
    torch.set_num_threads(1)
    torch.distributed.init_process_group('gloo', rank=rank, world_size=2)
    hook = SafeCheckpointHook(interval=1)
    hook.out_dir = folder

    def write() -> None:
        if rank == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    try:
        hook._together(write, 'The checkpoint epoch_1.pth')
    except RuntimeError as error:
        told = f'The checkpoint epoch_1.pth cannot be written to {folder}: No space left'
        os._exit(3 if str(error).startswith(told) else 2)
    os._exit(1)


def test_all_processes_are_told(free_port, tmp_path):
    context = multiprocessing.get_context('fork')
    both = [
        context.Process(target=fail_on_main, args=(rank, free_port, str(tmp_path)))
        for rank in range(2)
    ]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [3, 3]
