"""The command-line tools, run as a user runs them, on a small model and ten photographs."""

import io
import json
import os
import re
import runpy
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmc_plugin.engine.fsdp import FullyShardOptimWrapper
from mmc_plugin.engine.training import count_accumulation, use_mixed_precision

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / 'tools'

# A model small enough for seconds, with the loops, hooks and files of a real run.
CONFIG = """
default_scope = 'mmpretrain'
# mmengine keeps a run's logger by name and second; runs in one process need names of their own.
experiment_name = '{{$MMC_TEST_NAME:run}}'
custom_imports = dict(imports=['mmc_plugin'])
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True, num_classes=2),
    backbone=dict(type='MobileNetV2', widen_factor=0.1),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=2, in_channels=1280, topk=(1,)),
)
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(32, 32)),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    batch_size=2,
    num_workers={workers},
    sampler=dict(type='DefaultSampler', shuffle=True),
    drop_last=True,
    dataset=dict(type='CustomDataset', data_root=r'{data}', pipeline=pipeline),
)
val_dataloader = dict(
    batch_size=2,
    num_workers=0,
    persistent_workers=True,
    prefetch_factor=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='CustomDataset', data_root=r'{data}', pipeline=pipeline),
)
test_dataloader = val_dataloader
val_evaluator = test_evaluator = dict(type='Accuracy', topk=(1,))
train_cfg = dict(by_epoch=True, max_epochs=1, val_interval=1)
val_cfg = dict()
test_cfg = dict()
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01))
auto_scale_lr = dict(base_batch_size=1)
env_cfg = dict(mp_cfg=dict(mp_start_method='fork'), dist_cfg=dict(backend='nccl'))
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=1),
    checkpoint=dict(type='CheckpointHook', interval=1),
)
randomness = dict(seed=0)
"""


@pytest.fixture(scope='module')
def labelled(photo_folder, tmp_path_factory) -> Path:
    """The photographs in two folders, as two classes, under a name with a space."""
    root = tmp_path_factory.mktemp('a tree')
    for i, path in enumerate(sorted(photo_folder.glob('*.jpg'))):
        folder = root / f'class {i % 2}'
        folder.mkdir(exist_ok=True)
        os.link(path, folder / path.name)
    return root


@pytest.fixture(scope='module')
def config(labelled, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('a config') / 'tiny.py'
    path.write_text(CONFIG.replace('{data}', str(labelled)).replace('{workers}', '0'))
    return path


def run(*command, cwd, **environment) -> subprocess.CompletedProcess:
    """Run a program in a process of its own."""
    environment = {
        **os.environ,
        'PYTHONPATH': str(ROOT),
        'PYTHON': sys.executable,
        'OMP_NUM_THREADS': '1',
        'PYTHONWARNINGS': 'ignore',
        **environment,
    }
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=250,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture
def call(monkeypatch, tmp_path):
    """Run a tool as a program but in this process, which has the libraries loaded."""

    def call(tool: str, *arguments, **environment) -> subprocess.CompletedProcess:
        command = [str(TOOLS / tool), *map(str, arguments)]
        # Not pytest's own capture, which closes its files while the run's logger still holds them.
        out, err = io.StringIO(), io.StringIO()
        with monkeypatch.context() as patch:
            patch.chdir(tmp_path)
            patch.setattr(sys, 'argv', command)
            patch.setenv('LOCAL_RANK', '0')
            patch.delenv('RANK', raising=False)
            patch.setenv('MMC_TEST_NAME', tmp_path.name)
            for key, value in environment.items():
                patch.setenv(key, value)
            try:
                with redirect_stdout(out), redirect_stderr(err):
                    runpy.run_path(command[0], run_name='__main__')
                code = 0
            except SystemExit as stop:
                code = stop.code
        return subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())

    return call


def only_sentence(done: subprocess.CompletedProcess) -> str:
    """The one sentence that a refused command ends in."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert 'Traceback' not in done.stdout + done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    return line


def scalars(work_dir: Path) -> list[dict]:
    """The records of the newest run in a work dir."""
    newest = max(work_dir.glob('*/vis_data/scalars.json'), key=lambda path: path.stat().st_mtime)
    return [json.loads(line) for line in newest.read_text().splitlines()]


@pytest.fixture(scope='module')
def trained(config, fork_server, tmp_path_factory) -> Path:
    """Work dir of one epoch."""
    work_dir = tmp_path_factory.mktemp('run') / 'work dir'
    log = work_dir.parent / 'printed.txt'
    command = [config, '--work-dir', work_dir, '--auto-scale-lr']
    codes = fork_server.wait(fork_server.start(TOOLS / 'train.py', command, log))
    assert codes == [0], log.read_text()[-4000:]
    return work_dir


def test_train_writes_checkpoint_and_scales_the_learning_rate(trained):
    assert (trained / 'epoch_1.pth').is_file()
    steps = [record for record in scalars(trained) if 'loss' in record]
    assert len(steps) == 5
    assert steps[0]['lr'] == pytest.approx(0.02)  # 0.01 · batch 2 / base 1
    assert any('accuracy/top1' in record for record in scalars(trained))


def test_resume_goes_on_from_the_newest_whole_checkpoint(config, trained, call, tmp_path):
    work_dir = tmp_path / 'copy'
    work_dir.mkdir()
    whole = (trained / 'epoch_1.pth').read_bytes()
    (work_dir / 'epoch_1.pth').write_bytes(whole)
    (work_dir / 'epoch_2.pth').write_bytes(whole[: len(whole) // 2])
    (work_dir / 'last_checkpoint').write_text(str(work_dir / 'epoch_2.pth'))
    options = ('--no-validate', '--cfg-options', 'train_cfg.max_epochs=2')
    done = call('train.py', config, '--work-dir', work_dir, '--resume', *options)
    assert done.returncode == 0
    assert f'--resume: going on from {work_dir}/epoch_1.pth.' in done.stdout
    records = scalars(work_dir)
    assert [record['epoch'] for record in records if 'loss' in record] == [2] * 5
    assert not any('accuracy/top1' in record for record in records)
    assert torch.load(work_dir / 'epoch_2.pth', weights_only=False)['meta']['epoch'] == 2


def test_a_resumed_run_has_the_settings_that_it_had(config, labelled, call, tmp_path):
    data = tmp_path / 'Bäume, [x] (2) 100%'
    data.symlink_to(labelled)
    settings = [f'train_dataloader.dataset.data_root={data}', 'optim_wrapper.optimizer.lr=0.5']
    options = ('--work-dir', tmp_path / 'my run', '--no-validate', '--cfg-options')
    done = call('train.py', config, *options, *settings)
    assert done.returncode == 0, done.stderr
    again = call('train.py', config, '--work-dir', 'my run', '--resume')
    assert 'the settings of my run/tiny.py, unchanged.' in again.stdout
    assert 'It has all its epochs (1), so nothing is left to train' in again.stdout
    more = call('train.py', config, *options[:2], '--resume', '--cfg-options',
                'train_cfg.max_epochs=2')  # fmt: skip
    assert 'changed by --cfg-options: train_cfg.max_epochs 1 → 2.' in more.stdout
    assert 'nothing is left to train' not in more.stdout
    written = Config.fromfile(str(tmp_path / 'my run' / 'tiny.py'))
    assert written.train_dataloader.dataset.data_root == str(data)
    assert written.val_cfg is None
    steps = [record for record in scalars(tmp_path / 'my run') if 'loss' in record]
    assert [step['epoch'] for step in steps] == [2] * 5
    assert {step['lr'] for step in steps} == {0.5}


def test_dist_train_runs_two_processes_without_a_gpu(config, free_port, tmp_path):
    options = ('--work-dir', 'work dir', '--no-validate', '--resume')
    done = run(
        'bash', TOOLS / 'dist_train.sh', config, 2, *options,
        cwd=tmp_path, PORT=str(free_port), CUDA_VISIBLE_DEVICES='',
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count('--resume: no whole checkpoint in work dir') == 1
    # Ten images, two for each of two processes: two whole batches.
    assert len([record for record in scalars(tmp_path / 'work dir') if 'loss' in record]) == 2


def test_test_reports_the_metrics(config, trained, call, tmp_path):
    options = ('--work-dir', 'work dir', '--out', 'the metrics.json', '--out-item', 'metrics')
    done = call('test.py', config, trained / 'epoch_1.pth', *options)
    assert done.returncode == 0
    metrics = json.loads((tmp_path / 'the metrics.json').read_text())
    last = [record for record in scalars(trained) if 'accuracy/top1' in record][-1]
    assert metrics['accuracy/top1'] == last['accuracy/top1']


def test_a_test_of_weights_that_do_not_fit_is_refused(config, trained, call, tmp_path):
    content = torch.load(trained / 'epoch_1.pth', weights_only=False)
    name = next(name for name in content['state_dict'] if name.startswith('head.'))
    del content['state_dict'][name]
    torch.save(content, tmp_path / 'other.pth')
    line = only_sentence(call('test.py', config, tmp_path / 'other.pth'))
    assert 'other.pth does not fit the model: 1 of its ' in line and f'missing: {name}' in line
    options = ('--allow-misfit', '--work-dir', 'work dir')
    assert call('test.py', config, tmp_path / 'other.pth', *options).returncode == 0


def test_missing_config_and_checkpoint_are_named(config, call):
    line = only_sentence(call('train.py', 'nowhere/none.py'))
    assert 'the config nowhere/none.py is neither' in line
    line = only_sentence(call('train.py', config, '--resume', 'gone.pth'))
    assert 'the checkpoint gone.pth to resume from does not exist' in line
    line = only_sentence(call('test.py', config, 'gone.pth'))
    assert 'the checkpoint gone.pth does not exist' in line


def test_missing_data_root_is_named(config, call):
    option = 'train_dataloader.dataset.data_root=nowhere'
    assert 'nowhere' in only_sentence(call('train.py', config, '--cfg-options', option))
    with pytest.raises(FileNotFoundError, match='nowhere'):
        call('train.py', config, '--cfg-options', option, MMC_TRACEBACK='1')


def test_fewer_images_than_a_batch_are_refused(config, call):
    done = call('train.py', config, '--cfg-options', 'train_dataloader.batch_size=11')
    assert 'The training set has 10 images, fewer than one batch of 11' in only_sentence(done)


def test_a_config_without_a_test_is_refused(config, trained, call):
    done = call('test.py', config, trained / 'epoch_1.pth', '--cfg-options', 'test_evaluator=None')
    assert 'describes no test: it has no test_evaluator' in only_sentence(done)


@pytest.mark.parametrize(
    ('gpus', 'command'),
    [
        ((), ['test.py', 'a config.py', 'a b.pth', '--amp']),
        ((1,), ['test.py', 'a config.py', 'a b.pth', '--amp']),
        ((3,), ['test.py', 'a config.py', 'a b.pth', '--launcher', 'pytorch', '--amp']),
    ],
)
def test_test_sh_chooses_one_process_or_several(gpus, command, tmp_path):
    script = ('bash', TOOLS / 'test.sh', 'a config.py', 'a b.pth', *gpus, '--amp')
    done = run(*script, cwd=tmp_path, PYTHON=echo(tmp_path / 'python'))
    lines = done.stdout.splitlines()
    assert lines[-len(command) :] == [str(TOOLS / 'test.py'), *command[1:]]
    assert ('--nproc_per_node=3' in lines) == (gpus == (3,))


def echo(path: Path) -> str:
    """Make a program that prints its arguments, one a line."""
    path.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    path.chmod(0o755)
    return str(path)


def test_slurm_scripts_pass_everything_on(tmp_path):
    echo(tmp_path / 'srun')
    path = f'{tmp_path}{os.pathsep}{os.environ["PATH"]}'
    options = ('--cfg-options', 'a="[1, 2]"')
    environment = dict(GPUS='16', CPUS_PER_TASK='7', SRUN_ARGS='--qos=high --time=1:00')
    done = run(
        'bash', TOOLS / 'slurm_train.sh', 'part', 'a job', 'my config.py', 'work dir', *options,
        cwd=tmp_path, PATH=path, **environment,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        '-p',
        'part',
        '--job-name=a job',
        '--gres=gpu:8',
        '--ntasks=16',
        '--ntasks-per-node=8',
        '--cpus-per-task=7',
        '--kill-on-bad-exit=1',
        '--qos=high',
        '--time=1:00',
        sys.executable,
        '-u',
        str(TOOLS / 'train.py'),
        'my config.py',
        '--work-dir=work dir',
        '--launcher=slurm',
        *options,
    ]
    done = run(
        'bash', TOOLS / 'slurm_test.sh', 'part', 'job', 'c.py', 'a b.pth',
        cwd=tmp_path, PATH=path, GPUS='2',
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert lines[-4:] == [str(TOOLS / 'test.py'), 'c.py', 'a b.pth', '--launcher=slurm']
    assert '--gres=gpu:2' in lines and '--ntasks=2' in lines


@pytest.mark.parametrize(
    ('script', 'arguments'),
    [('dist_train.sh', 1), ('dist_test.sh', 2), ('slurm_train.sh', 3), ('slurm_test.sh', 3)],
)
def test_scripts_say_what_is_missing(script, arguments, tmp_path):
    done = run('bash', TOOLS / script, *['x'] * arguments, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith(f'usage: {script} ')


def test_dist_train_hands_the_nodes_to_torchrun(tmp_path):
    done = run(
        'bash', TOOLS / 'dist_train.sh', 'c.py', 8, '--amp',
        cwd=tmp_path, PYTHON=echo(tmp_path / 'python'),
        NNODES='2', NODE_RANK='1', PORT='1234', MASTER_ADDR='10.0.0.1',
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        '-m',
        'torch.distributed.run',
        '--nnodes=2',
        '--node_rank=1',
        '--master_addr=10.0.0.1',
        '--master_port=1234',
        '--nproc_per_node=8',
        str(TOOLS / 'train.py'),
        'c.py',
        '--launcher',
        'pytorch',
        '--amp',
    ]


@pytest.mark.parametrize(
    'option, sentence',
    [
        ('train_cfg.max_epochs=10', 'leaves nothing after the 10 epochs of warm-up'),
        ('optim_wrapper.type=AmpOptimWrapper', 'needs a GPU'),
    ],
)
def test_settings_that_cannot_train_are_refused(call, option, sentence):
    if 'Amp' in option and torch.cuda.is_available():
        pytest.skip('there is a GPU')
    done = call('train.py', 'mmc/vits_folder.py', '--cfg-options', option, 'fit_to_data=False')
    assert sentence in only_sentence(done)


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_fp16_without_a_gpu_is_refused(config, call):
    options = ('optim_wrapper.type=AutoPrecisionOptimWrapper', 'optim_wrapper.precision=fp16')
    line = only_sentence(call('train.py', config, '--cfg-options', *options))
    assert "precision is 'fp16', but fp16 needs a GPU" in line


AUTO = dict(type='AutoPrecisionOptimWrapper')
SHARDED = dict(type='FullyShardOptimWrapper')


@pytest.mark.parametrize(
    'given, expected, said',
    [
        (dict(type='OptimWrapper'), dict(type='mmpretrain.AutoPrecisionOptimWrapper'), None),
        (dict(), dict(type='mmpretrain.AutoPrecisionOptimWrapper'), None),
        (dict(AUTO, precision='fp32'), AUTO, None),
        (AUTO, None, 'auto'),
        (dict(AUTO, precision='auto'), None, 'auto'),
        (dict(AUTO, precision='bf16'), None, 'bf16'),
        (dict(type='FullyShardOptimWrapper'), None, 'auto'),
        (dict(type='FullyShardOptimWrapper', precision='fp32'), SHARDED, None),
        (dict(type=FullyShardOptimWrapper), None, 'auto'),
        (dict(type='mmpretrain.ShardedBFloat16OptimWrapper'), None, 'ShardedBFloat16OptimWrapper'),
        (dict(type='mmpretrain.BFloat16OptimWrapper'), None, 'BFloat16OptimWrapper'),
        (dict(type='AmpOptimWrapper'), None, 'AmpOptimWrapper'),
    ],
    ids=str,
)
def test_amp_is_the_precision_that_fits(given, expected, said, config, monkeypatch, capsys):
    given = dict(given, optimizer=dict(type='SGD', lr=0.01))
    cfg = Config(dict(optim_wrapper=given))
    use_mixed_precision(cfg)
    if expected is not None:
        expected = given | dict(expected, precision='auto')
    assert cfg.optim_wrapper.to_dict() == (expected or given)
    printed = capsys.readouterr().out
    assert printed == (said and f'--amp changes nothing: the config sets {said} already.\n' or '')


def test_amp_says_what_it_cannot_change():
    with pytest.raises(ValueError, match='--amp cannot be used with ApexOptimWrapper'):
        use_mixed_precision(Config(dict(optim_wrapper=dict(type='ApexOptimWrapper'))))


def test_the_hosts_own_wrapper_trains_in_the_precision_that_fits(config, call, tmp_path):
    done = call('train.py', config, '--amp', '--no-validate', '--work-dir', tmp_path / 'run')
    assert done.returncode == 0, done.stderr[-3000:]
    (log,) = (tmp_path / 'run').glob('*/*.log')
    assert re.search(r"Training in (bf16|fp16|fp32) \(precision='auto'\): ", log.read_text())
    state = torch.load(tmp_path / 'run' / 'epoch_1.pth', weights_only=False)['optimizer']
    assert state['precision'] in ('bf16', 'fp16', 'fp32')


def test_a_broken_checkpoint_to_resume_from_is_refused(config, call, tmp_path):
    (tmp_path / 'broken.pth').write_bytes(b'PK!!')
    done = call('train.py', config, '--resume', tmp_path / 'broken.pth')
    assert 'broken.pth cannot be resumed from: it is cut short' in only_sentence(done)


class Harm:
    """A pickle that makes a folder when it is loaded."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_code_in_a_checkpoint_runs_only_with_the_flag(config, trained, call, tmp_path):
    checkpoint = torch.load(trained / 'epoch_1.pth', weights_only=False)
    checkpoint['extra'] = Harm(tmp_path / 'harm')
    work_dir = tmp_path / 'work_dir'  # the command line takes spaces out of options
    work_dir.mkdir()
    evil = work_dir / 'epoch_1.pth'
    torch.save(checkpoint, evil)
    load = f'load_from={evil}'
    for command in (
        ('test.py', config, evil),
        ('train.py', config, '--resume', evil),
        ('train.py', config, '--resume', '--work-dir', work_dir),
        ('train.py', config, '--work-dir', work_dir, '--cfg-options', 'resume=True'),
        ('train.py', config, '--cfg-options', load),
    ):
        line = only_sentence(call(*command))
        assert 'epoch_1.pth is not read: it holds posix.mkdir, code that would run' in line
        assert '--allow-pickle' in line
        assert not (tmp_path / 'harm').exists()
    # Nothing to resume, but a name for mmengine to follow.
    other = tmp_path / 'other'
    other.mkdir()
    evil.rename(work_dir / 'renamed')
    (other / 'last_checkpoint').write_text(str(work_dir / 'renamed'))
    call('train.py', config, '--work-dir', other, '--cfg-options', 'resume=True')
    assert not (tmp_path / 'harm').exists()
    (work_dir / 'renamed').rename(evil)
    assert call('test.py', config, evil, '--allow-pickle').returncode == 0
    assert (tmp_path / 'harm').exists()


def test_accumulated_iterations_count_for_the_learning_rate():
    cfg = Config(
        dict(optim_wrapper=dict(accumulative_counts=4), auto_scale_lr=dict(base_batch_size=256))
    )
    count_accumulation(cfg)
    assert cfg.auto_scale_lr.base_batch_size == 64
