"""The teacher moves after real optimiser steps only, at the rate of its iteration."""

import math
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import IterBasedTrainLoop, Runner
from mmpretrain.registry import HOOKS, OPTIM_WRAPPERS
from torch import nn

from mmc_plugin.engine.hooks import MomentumTeacherHook
from mmc_plugin.engine.optimizers import AutoPrecisionOptimWrapper
from mmc_plugin.errors import InputError
from mmc_plugin.models.selfsup import PretrainingMethod, StudentTeacher
from mmc_plugin.models.utils import MomentumTeacher
from mmc_plugin.models.utils.epoch_ramp import EpochRamp

ITERS = 8


class Toy(BaseModel, PretrainingMethod):
    """A linear student of its inputs' sums, and its teacher."""

    def __init__(self):
        super().__init__()
        self.student = self.backbone = nn.Linear(4, 1)
        self.teacher = MomentumTeacher(dict(student=self.student))

    patch_size = 1
    momentum, end_momentum, momentum_schedule = 0.5, 0.9, 'cosine'
    momentum_at = StudentTeacher.momentum_at

    def begin_epoch(self, epoch):
        pass

    def update_teacher(self, momentum):
        self.teacher.update(dict(student=self.student), momentum)

    def forward(self, inputs, mode='loss'):
        x = torch.stack(inputs)
        return dict(loss=(self.student(x)[:, 0] - x.sum(1)).square().mean())


class Watch(Hook):
    """Copies the weights of student and teacher before training and after each iteration."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.student, self.teacher = [], []

    def _look(self, runner):
        self.student.append(runner.model.student.weight.detach().clone())
        self.teacher.append(runner.model.teacher.student.weight.detach().clone())

    def before_train(self, runner):
        self._look(runner)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self._look(runner)

    def moved(self, network):
        """Iterations that changed the weights of a network."""
        weights = getattr(self, network)
        return [i for i, (a, b) in enumerate(zip(weights, weights[1:])) if not torch.equal(a, b)]


def train(tmp_path, wrapper=None, iters=ITERS, model=None, **kwargs):
    """Train a new toy with the hook; the watch over it and the runner."""
    torch.manual_seed(0)
    data = [dict(inputs=x) for x in torch.randn(4 * ITERS, 4)]
    watch = Watch()
    runner = Runner(
        model=Toy() if model is None else model,
        work_dir=str(tmp_path),
        train_dataloader=dict(
            batch_size=4,
            num_workers=0,
            dataset=data,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='pseudo_collate'),
        ),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))
        | (wrapper or {}),
        train_cfg=dict(by_epoch=False, max_iters=iters),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=4, by_epoch=False)),
        custom_hooks=[dict(type='MomentumTeacherHook'), watch],
        default_scope='mmpretrain',
        experiment_name=f'{tmp_path.parent.name}_{tmp_path.name}',
        log_level='ERROR',
        **kwargs,
    )
    runner.train()
    return watch, runner


def assert_follows(watch, steps, start=0):
    """Teacher = slow moving average of the student over the iterations ``steps``."""
    assert watch.moved('student') == watch.moved('teacher') == [i - start for i in steps]
    expected = watch.teacher[0].double()
    for i, (student, teacher) in enumerate(zip(watch.student[1:], watch.teacher[1:]), start):
        if i in steps:
            m = 0.9 - 0.4 * (math.cos(math.pi * i / ITERS) + 1) / 2
            expected = m * expected + (1 - m) * student.double()
        torch.testing.assert_close(teacher.double(), expected, rtol=1e-5, atol=1e-6)


def test_the_hook_is_registered():
    assert isinstance(HOOKS.build(dict(type='MomentumTeacherHook')), MomentumTeacherHook)


def test_every_step_moves_the_teacher(tmp_path):
    watch, runner = train(tmp_path)
    assert_follows(watch, range(ITERS))
    last = runner.message_hub.get_scalar('train/teacher_momentum').current()
    assert last == pytest.approx(0.9 - 0.2 * (1 + math.cos(math.pi * (ITERS - 1) / ITERS)))


def test_accumulated_iterations_do_not_move_the_teacher(tmp_path):
    # 8 is no multiple of 3: the gradients of the last two iterations make a step of their own.
    watch, _ = train(tmp_path, dict(accumulative_counts=3))
    assert_follows(watch, [2, 5, 7])


@OPTIM_WRAPPERS.register_module()
class OverflowingOptimWrapper(AutoPrecisionOptimWrapper):
    """fp16's loss scale on the CPU, with gradients that overflow in some iterations."""

    def __init__(self, overflows, **kwargs):
        super().__init__(precision='fp32', **kwargs)
        self.overflows = overflows

    def _make_scaler(self, enabled):
        return torch.amp.GradScaler('cpu', init_scale=8.0)

    def backward(self, loss, **kwargs):
        factor = float('inf') if self._inner_count in self.overflows else 1.0
        super().backward(loss * factor, **kwargs)


@pytest.mark.parametrize('clip', [None, dict(max_norm=1.0)])
@pytest.mark.parametrize('fused', [False, True])
def test_steps_that_the_scaler_skips_do_not_move_the_teacher(tmp_path, fused, clip):
    # A plain optimiser is not called for such a step; a fused one is, and skips it by itself.
    wrapper = dict(
        type='OverflowingOptimWrapper',
        overflows=[0, 3, 4],
        optimizer=dict(type='AdamW', lr=0.1, fused=fused),
        clip_grad=clip,
    )
    watch, _ = train(tmp_path, wrapper)
    assert_follows(watch, [1, 2, 5, 6, 7])


def test_resume_goes_on_with_weights_and_schedule(tmp_path):
    whole, _ = train(tmp_path / 'whole', dict(accumulative_counts=2))
    checkpoint = tmp_path / 'whole' / 'iter_4.pth'
    saved = torch.load(checkpoint, weights_only=False)['state_dict']
    assert torch.equal(saved['teacher.student.weight'], whole.teacher[4])

    model = Toy()
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(7)  # whatever is here must go
    resumed, _ = train(
        tmp_path / 'resumed', dict(accumulative_counts=2), model=model,
        load_from=str(checkpoint), resume=True,
    )  # fmt: skip
    assert_follows(resumed, [5, 7], start=4)
    for mine, theirs in zip(resumed.teacher, whole.teacher[4:], strict=True):
        assert torch.equal(mine, theirs)


def test_a_compiled_training_step_moves_the_teacher_too(tmp_path):
    watch, _ = train(tmp_path, cfg=dict(compile=dict(backend='eager')))
    assert_follows(watch, range(ITERS))


def share_of_the_initial_weights(iterations, shortening):
    """What is left of them in the teacher at the end, by the hook itself."""
    model, hook = Toy(), MomentumTeacherHook()
    model.momentum, model.end_momentum = 0.99, 1.0
    with torch.no_grad():
        for network, value in ((model.student, 0.0), (model.teacher, 1.0)):
            for p in network.parameters():
                p.fill_(value)
    optimizer = torch.optim.SGD(model.student.parameters(), lr=0.0)
    runner = SimpleNamespace(
        model=model,
        max_iters=iterations,
        optim_wrapper=SimpleNamespace(optimizer=optimizer),
        train_loop=SimpleNamespace(shortening=shortening),
        message_hub=SimpleNamespace(update_scalar=lambda *_: None),
    )
    hook.before_train(runner)
    for runner.iter in range(iterations):
        optimizer.step()
        hook.after_train_iter(runner, 0)
    return float(model.teacher.student.bias[0])


def test_a_run_made_shorter_keeps_as_little_of_the_initial_weights():
    whole = share_of_the_initial_weights(900, 1)
    assert whole == pytest.approx(math.exp(-0.01 * 900 / 2), rel=0.03)
    assert share_of_the_initial_weights(120, 7.5) == pytest.approx(whole, rel=0.05)
    assert share_of_the_initial_weights(120, 1) > 0.5


def test_a_ramp_by_epochs_is_refused_in_a_run_by_iterations():
    model = Toy()
    model.ramp = EpochRamp((0.04, 0.07), 30, 'model.teacher_temperature')
    runner = SimpleNamespace(model=model, train_loop=Mock(spec=IterBasedTrainLoop))
    with pytest.raises(ValueError, match='model.warmup_epochs counts epochs, of which a run by'):
        MomentumTeacherHook().before_train(runner)


def test_a_model_that_is_no_method_is_told_what_it_lacks():
    class Foreign(Toy):
        begin_epoch = property()

    runner = SimpleNamespace(model=Foreign())
    with pytest.raises(InputError, match='Foreign has no begin_epoch, which hooks and tools ask'):
        MomentumTeacherHook().before_train(runner)
