import time
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import DataLoader

from mmc_plugin.engine.hooks import loss_guard
from mmc_plugin.engine.hooks.loss_guard import LossGuardHook, check_train_dataloader
from mmc_plugin.models.utils.feature_queue import FeatureQueue

NAN, INF = float('nan'), float('inf')


def make_runner(tmp_path):
    return SimpleNamespace(iter=0, work_dir=str(tmp_path), model=torch.nn.Linear(2, 2))


def step(hook, runner, **losses):
    losses = {name: torch.tensor(value, dtype=torch.float32) for name, value in losses.items()}
    hook.after_train_iter(runner, 0, outputs=losses)
    runner.iter += 1


def train(hook, runner, rows):
    for rec, cls in rows:
        step(hook, runner, loss=rec + cls, loss_rec=rec, loss_cls=cls)


@pytest.mark.parametrize('value', [NAN, INF, -INF])
@pytest.mark.parametrize('bad', range(1, 9))
def test_says_which_loss_and_when(tmp_path, value, bad):
    hook, runner = LossGuardHook(interval=4), make_runner(tmp_path)
    (tmp_path / 'last_checkpoint').write_text('/runs/epoch_3.pth')
    rows = [(1.0, 2.0)] * (bad - 1) + [(1.0, value)] + [(value, value)] * 8
    with pytest.raises(RuntimeError) as caught:
        train(hook, runner, rows)
    message = str(caught.value)
    assert f'stopped at iteration {bad}, where loss_cls was not finite;' in message
    assert 'go on from /runs/epoch_3.pth with --resume and a lower learning rate' in message
    assert 'optim_wrapper.clip_grad.max_norm' in message and '\n' not in message
    assert runner.iter == (bad + 3) // 4 * 4 - 1  # noticed at the next look, not before


def test_several_terms_or_only_the_total(tmp_path):
    hook, runner = LossGuardHook(interval=1), make_runner(tmp_path)
    with pytest.raises(RuntimeError, match='loss_rec and loss_cls were not finite.*start again'):
        train(hook, runner, [(NAN, NAN)])
    hook = LossGuardHook(interval=1)
    with pytest.raises(RuntimeError, match='where loss was not finite'):
        step(hook, runner, loss=INF, loss_rec=1.0)


def test_finite_runs_pass(tmp_path):
    hook, runner = LossGuardHook(interval=3), make_runner(tmp_path)
    train(hook, runner, [(1.0, 2.0)] * 10)
    hook.after_train_epoch(runner)
    hook.after_train_epoch(runner)
    step(hook, runner, loss=1.0)  # other terms from here on
    step(hook, runner, loss=2.0, grad_norm=NAN)  # not a loss: the scaler of fp16 may skip the step
    hook.after_train_epoch(runner)
    # All that passed was looked at: the first bad step is found, and has its number of the run.
    with pytest.raises(RuntimeError, match='iteration 13, where loss was not finite'):
        step(hook, runner, loss=NAN)
        hook.after_train_epoch(runner)


def test_end_of_epoch_looks(tmp_path):
    hook, runner = LossGuardHook(interval=1000), make_runner(tmp_path)
    train(hook, runner, [(1.0, 1.0)] * 6 + [(NAN, 1.0)])
    with pytest.raises(RuntimeError, match='iteration 7, where loss_rec was'):
        hook.after_train_epoch(runner)


def test_a_change_of_terms_looks(tmp_path):
    hook, runner = LossGuardHook(interval=1000), make_runner(tmp_path)
    train(hook, runner, [(1.0, 1.0), (1.0, NAN)])
    with pytest.raises(RuntimeError, match='iteration 2, where loss_cls was'):
        step(hook, runner, loss=1.0)


def test_before_a_checkpoint(tmp_path):
    runner = make_runner(tmp_path)
    checkpoint = dict(meta=dict(iter=2, epoch=1), state_dict=runner.model.state_dict())
    hook = LossGuardHook(interval=1000)
    train(hook, runner, [(1.0, 1.0)] * 2)
    hook.before_save_checkpoint(runner, checkpoint)
    # A poisoned weight behind a finite loss: the step itself overflowed.
    with torch.no_grad():
        runner.model.weight[1, 1] = INF
    with pytest.raises(RuntimeError, match='iteration 2, where the weight weight was not finite'):
        hook.before_save_checkpoint(runner, checkpoint)
    hook = LossGuardHook(interval=1000)
    train(hook, make_runner(tmp_path), [(1.0, NAN)])
    with pytest.raises(RuntimeError, match='loss_cls was not finite'):
        hook.before_save_checkpoint(make_runner(tmp_path), checkpoint)


@pytest.mark.parametrize('wrapper', ['module', '_fsdp_wrapped_module'])
def test_weights_in_a_wrapper(tmp_path, wrapper):
    """DDP and FSDP put a level into the names of the model, and none into those of the file."""
    runner = make_runner(tmp_path)
    state = runner.model.state_dict()
    runner.model = torch.nn.ModuleDict({wrapper: runner.model})
    checkpoint = dict(meta=dict(iter=2, epoch=1), state_dict=state)
    LossGuardHook().before_save_checkpoint(runner, checkpoint)
    state['weight'] = state['weight'].clone().fill_(NAN)
    with pytest.raises(RuntimeError, match='iteration 2, where the weight weight was not finite'):
        LossGuardHook().before_save_checkpoint(runner, checkpoint)


def test_buffers_may_be_infinite(tmp_path):
    runner = make_runner(tmp_path)
    runner.model.register_buffer('mask', torch.tensor([-INF, 0.0]))
    checkpoint = dict(meta=dict(iter=2, epoch=1), state_dict=runner.model.state_dict())
    LossGuardHook().before_save_checkpoint(runner, checkpoint)
    checkpoint['state_dict']['bias'] = torch.tensor([0.0, INF])
    with pytest.raises(RuntimeError, match='iteration 2, where the weight bias was not finite'):
        LossGuardHook().before_save_checkpoint(runner, checkpoint)


def test_other_processes_count(tmp_path, monkeypatch):
    """The least over the processes decides, and all of them say the same."""

    def all_reduce(good, op):
        assert op == 'min'
        good.copy_(torch.minimum(good, torch.tensor([1, 1, 5])))

    monkeypatch.setattr(loss_guard, 'all_reduce', all_reduce)
    hook, runner = LossGuardHook(interval=5), make_runner(tmp_path)
    with pytest.raises(RuntimeError, match='iteration 2, where loss_rec was not finite'):
        train(hook, runner, [(1.0, 1.0)] * 5)


def test_a_checkpoint_in_the_middle_is_no_alarm(tmp_path, monkeypatch):
    """The first process alone saves; then all look, and have counted the same steps."""
    counted = []
    monkeypatch.setattr(loss_guard, 'all_reduce', lambda good, op: counted.append(good.tolist()))
    runner = make_runner(tmp_path)
    checkpoint = dict(meta=dict(iter=2, epoch=0), state_dict=runner.model.state_dict())
    for saves in (True, False):
        hook, runner.iter = LossGuardHook(interval=4), 0
        train(hook, runner, [(1.0, 1.0)] * 2)
        if saves:
            hook.before_save_checkpoint(runner, checkpoint)
        train(hook, runner, [(1.0, 1.0)] * 2)
    assert counted == [[4, 4, 4]] * 2


def test_reads_the_device_only_when_it_looks(tmp_path, monkeypatch):
    """Fake tensors have no values: whatever needs one fails."""
    from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

    hook, runner = LossGuardHook(interval=4), make_runner(tmp_path)
    with FakeTensorMode(allow_non_fake_inputs=False):
        for _ in range(3):
            losses = dict(loss=torch.empty(()), loss_rec=torch.empty((), dtype=torch.bfloat16))
            hook.after_train_iter(runner, 0, outputs=losses)
            runner.iter += 1
        with pytest.raises(DataDependentOutputException):
            hook.after_train_iter(runner, 0, outputs=losses)


def test_fewer_images_than_a_batch():
    with pytest.raises(ValueError) as caught:
        check_train_dataloader(DataLoader(range(3), batch_size=8, drop_last=True))
    message = str(caught.value)
    assert message.startswith('The training set has 3 images, fewer than one batch of 8: ')
    assert 'set train_dataloader.batch_size to their number or less' in message
    check_train_dataloader(DataLoader(range(8), batch_size=8, drop_last=True))
    check_train_dataloader(DataLoader(range(3), batch_size=8))
    runner = SimpleNamespace(train_dataloader=DataLoader(range(3), batch_size=8, drop_last=True))
    with pytest.raises(ValueError, match='fewer than one batch'):
        LossGuardHook().before_train(runner)


def test_a_queue_longer_than_the_training_set():
    model = torch.nn.ModuleDict(dict(queue=FeatureQueue(9, 2)))
    loader = DataLoader(range(8), batch_size=4)
    with pytest.raises(ValueError) as error:
        LossGuardHook().before_train(SimpleNamespace(train_dataloader=loader, model=model))
    message = str(error.value)
    assert 'holds 9 features, more than the training set has images (8)' in message
    assert 'set model.queue_length to fewer' in message
    loader = DataLoader(range(9), batch_size=4)
    LossGuardHook().before_train(SimpleNamespace(train_dataloader=loader, model=model))


def test_is_cheap(tmp_path):
    hook, runner = LossGuardHook(interval=50), make_runner(tmp_path)
    losses = {name: torch.tensor(1.0) for name in ('loss', 'loss_rec', 'loss_patch', 'loss_cls')}
    times = []
    for _ in range(200):
        start = time.perf_counter()
        hook.after_train_iter(runner, 0, outputs=losses)
        times.append(time.perf_counter() - start)
        runner.iter += 1
    assert min(times) < 1e-3
