"""The optimiser wrapper in each precision, and what a resumed run goes on in."""

import copy
import logging
from contextlib import nullcontext
from functools import partial

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.optim.optimizer import amp_optimizer_wrapper
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner, autocast
from mmpretrain.registry import OPTIM_WRAPPERS
from torch import nn

import mmc_plugin  # noqa: F401  registers the wrappers
from mmc_plugin.engine import precision as precisions
from mmc_plugin.engine.optimizers import (
    BFloat16OptimWrapper,
    auto_precision,
)

DTYPES = dict(bf16=torch.bfloat16, fp16=torch.float16, fp32=torch.float32)


class Regression(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.outputs = []

    def forward(self, x):
        y = self.layer(x)
        self.outputs.append(y)
        return (y.float() - 1).square().mean()


def build(model, kind='AutoPrecisionOptimWrapper', optimiser=None, **kwargs):
    optimiser = optimiser or torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return OPTIM_WRAPPERS.build(dict(type=kind, optimizer=optimiser, **kwargs))


def run(model, wrapper, data, factors=None):
    """Train a step on each of the data; the weights after each of them."""
    weights = []
    for i, x in enumerate(data):
        with wrapper.optim_context(model):
            loss = model(x)
        wrapper.update_params(loss * (factors[i] if factors else 1))
        weights.append(model.layer.weight.detach().clone())
    return torch.stack(weights)


@pytest.fixture
def data():
    torch.manual_seed(0)
    return torch.randn(6, 5, 4)


@pytest.fixture
def chosen(monkeypatch):
    """Set what fits the machine."""

    def chosen(precision):
        monkeypatch.setattr(auto_precision, 'agreed_precision', lambda _: (precision, 'of a test'))

    return chosen


@pytest.fixture
def log(monkeypatch):
    """Lines that went to the log: level and text."""
    lines = []

    def keep(message, logger, level=logging.INFO):
        assert logger == 'current'
        lines.append((level, message))

    monkeypatch.setattr(auto_precision, 'print_log', keep)
    return lines


@pytest.fixture
def half(monkeypatch):
    """Let the CPU train in fp16, as torch can and mmengine's autocast will not."""
    monkeypatch.setattr(auto_precision, 'why_not', lambda *args, **kwargs: None)
    here = partial(torch.autocast, 'cpu')
    monkeypatch.setattr(auto_precision, 'autocast', here)
    # mmengine's wrapper for fp16, with a scaler on the CPU.
    monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available', lambda: True)
    scaler = partial(torch.amp.GradScaler, device='cpu')
    monkeypatch.setattr(amp_optimizer_wrapper, 'GradScaler', scaler)
    monkeypatch.setattr('mmengine.runner.amp.autocast', here)


@pytest.mark.parametrize('precision', ['bf16', 'fp16', 'fp32'])
def test_layers_run_in_it_weights_and_loss_stay_in_fp32(precision, half, data):
    model = Regression()
    wrapper = build(model, precision=precision)
    assert wrapper.precision == precision
    with wrapper.optim_context(model):
        loss = model(data[0])
    assert model.outputs[0].dtype == DTYPES[precision]
    assert loss.dtype == torch.float32
    wrapper.update_params(loss)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    model(data[0])
    assert model.outputs[1].dtype == torch.float32  # autocast ended with the context


@pytest.mark.parametrize('precision', ['bf16', 'fp32'])
def test_auto_is_what_fits_the_machine_and_the_log_says_why(precision, chosen, log):
    chosen(precision)
    assert build(Regression()).precision == precision
    assert log == [(logging.INFO, f"Training in {precision} (precision='auto'): of a test.")]


def test_it_takes_what_this_machine_is_measured_to_be_fast_at(monkeypatch):
    for speedup, expected in ((2.0, 'bf16'), (0.1, 'fp32')):
        monkeypatch.setattr(auto_precision, 'get_device', lambda: 'cpu')
        monkeypatch.setattr(precisions, 'bf16_speedup', lambda s=speedup: s)
        assert build(Regression()).precision == expected


@pytest.mark.parametrize('clip', [None, dict(max_norm=0.3), dict(type='value', clip_value=0.02)])
def test_fp32_is_the_hosts_wrapper(clip, data):
    weights, models = [], [Regression()]
    models.append(copy.deepcopy(models[0]))
    for model, kind in zip(models, ({}, dict(kind='OptimWrapper'))):
        kind = kind or dict(precision='fp32')
        wrapper = build(model, accumulative_counts=2, clip_grad=copy.deepcopy(clip), **kind)
        wrapper.initialize_count_status(model, 0, len(data))
        weights.append(run(model, wrapper, data))
    assert torch.equal(*weights)
    assert (weights[0][1:] != weights[0][:-1]).any(dim=(1, 2)).tolist() == [True, False] * 2 + [
        True
    ]


class FormerOptimWrapper(OptimWrapper):
    """What bf16 is: the host's wrapper under autocast."""

    def optim_context(self, model):
        return autocast(dtype=torch.bfloat16)


def test_bf16_is_the_hosts_wrapper_under_autocast(data):
    weights, start = [], Regression()
    for kind in (
        dict(kind=FormerOptimWrapper),
        dict(precision='bf16'),
        dict(kind='BFloat16OptimWrapper'),
    ):
        model = copy.deepcopy(start)
        weights.append(run(model, build(model, clip_grad=dict(max_norm=0.3), **kind), data))
        assert {y.dtype for y in model.outputs} == {torch.bfloat16}
    assert torch.equal(weights[0], weights[1]) and torch.equal(weights[0], weights[2])
    assert isinstance(build(start, 'BFloat16OptimWrapper'), BFloat16OptimWrapper)


@pytest.mark.parametrize('clip', [None, dict(max_norm=0.3)])
@pytest.mark.parametrize('fused', [False, True])
def test_fp16_is_the_hosts_wrapper_for_it(fused, clip, half, data):
    factors = [1.0, float('inf'), 1.0, 1.0, 1e6, 1.0]  # the second and perhaps the fifth overflow
    weights, scales, models = [], [], [Regression()]
    models.append(copy.deepcopy(models[0]))
    for model, kind in zip(
        models, (dict(precision='fp16'), dict(kind='AmpOptimWrapper', dtype='float16'))
    ):
        optimiser = torch.optim.AdamW(model.parameters(), lr=0.1, fused=fused)
        wrapper = build(model, optimiser=optimiser, clip_grad=copy.deepcopy(clip), **kind)
        weights.append(run(model, wrapper, data, factors))
        scales.append(wrapper.loss_scaler.get_scale())
        assert {y.dtype for y in model.outputs} == {torch.float16}
    assert torch.equal(*weights)
    assert torch.equal(weights[0][0], weights[0][1])  # left out
    assert not torch.equal(weights[0][1], weights[0][2])
    assert scales[0] == scales[1] < 2**16


@pytest.mark.parametrize('precision', ['bf16', 'fp16', 'fp32'])
def test_the_norm_waits_in_all_precisions(precision, half, data):
    norms, start = [], Regression()
    for deferred in (False, True):
        model = copy.deepcopy(start)
        wrapper = build(model, precision=precision, clip_grad=dict(max_norm=0.3))
        wrapper.message_hub = Hub()
        wrapper.defer_grad_norm = deferred
        for x in data:
            run(model, wrapper, [x])
            if deferred:
                (pair,) = wrapper.take_grad_norm().items()
                wrapper.message_hub.update_scalar(f'train/{pair[0]}', pair[1].item())
                assert wrapper.take_grad_norm() == {}
        norms.append(wrapper.message_hub.seen)
    assert norms[0] == norms[1] and len(norms[0]) == len(data)
    assert {name for name, _ in norms[0]} == {'train/grad_norm'}
    assert 0.01 < norms[0][-1][1] < 10  # not scaled; the first ones overflow in fp16


class Hub:
    def __init__(self):
        self.seen = []

    def update_scalar(self, name, value):
        self.seen.append((name, value))


@pytest.mark.parametrize('precision', ['half', 'bfloat16', None])
def test_no_such_precision(precision):
    with pytest.raises(ValueError, match="optim_wrapper.precision is .*must be 'auto' or one of"):
        build(Regression(), precision=precision)


def test_fp16_needs_a_gpu(monkeypatch):
    monkeypatch.setattr(auto_precision, 'get_device', lambda: 'cpu')
    with pytest.raises(ValueError, match="precision is 'fp16', but fp16 needs a GPU.*set it to"):
        build(Regression(), precision='fp16')


def saved(model, data, **kind):
    """State of a wrapper that has made a step."""
    wrapper = build(model, **kind)
    run(model, wrapper, data[:1])
    return copy.deepcopy(wrapper.state_dict())


@pytest.mark.parametrize('before', ['bf16', 'fp32'])
@pytest.mark.parametrize('now', ['bf16', 'fp32'])
def test_auto_goes_on_in_the_precision_of_the_checkpoint(before, now, chosen, log, data):
    chosen(before)
    model = Regression()
    state = saved(model, data)
    chosen(now)
    log.clear()
    wrapper = build(model)
    wrapper.load_state_dict(state)
    assert wrapper.precision == wrapper.state_dict()['precision'] == before
    assert wrapper.optimizer.state[model.layer.weight]['momentum_buffer'].any()
    assert state['precision'] == before  # what was loaded is not changed
    assert [line.split('.')[0] for _, line in log[1:]] == (
        [] if now == before else [f'Going on in {before}, as this run began']
    )
    run(model, wrapper, data[:1])
    assert model.outputs[-1].dtype == DTYPES[before]


def test_the_loss_scale_goes_on_too(half, chosen, data):
    chosen('fp16')
    model = Regression()
    wrapper = build(model)
    run(model, wrapper, data[:2], [1.0, float('inf')])
    state = wrapper.state_dict()
    chosen('bf16')  # of a newer GPU
    other = build(model)
    other.load_state_dict(state)
    assert other.precision == 'fp16' and other.loss_scaler.get_scale() == 2**15
    # That of the host says fp16 by its loss scale.
    host = build(model, 'AmpOptimWrapper', dtype='float16')
    host.load_state_dict(copy.deepcopy(state))
    state = host.state_dict()
    assert 'precision' not in state
    other = build(model)
    other.load_state_dict(state)
    assert other.precision == 'fp16' and other.loss_scaler.get_scale() == 2**15


def test_forced_precision_goes_before_that_of_the_checkpoint(log, data):
    model = Regression()
    state = saved(model, data, precision='bf16')
    log.clear()
    wrapper = build(model, precision='fp32')
    wrapper.load_state_dict(state)
    assert wrapper.precision == 'fp32'
    (_, (level, line)) = log
    assert level == logging.WARNING
    assert 'This run began in bf16; it goes on in fp32: as the config says.' in line


def test_a_precision_that_the_device_has_not_changes(chosen, log, data, monkeypatch):
    model = Regression()
    with monkeypatch.context() as patch:  # fp16 on a GPU, then on a machine without
        patch.setattr(auto_precision, 'why_not', lambda *args, **kwargs: None)
        patch.setattr(auto_precision, 'autocast', lambda **kwargs: nullcontext())
        state = saved(model, data, precision='fp16')
    monkeypatch.setattr(auto_precision, 'get_device', lambda: 'cpu')
    chosen('fp32')
    log.clear()
    wrapper = build(model)
    wrapper.load_state_dict(state)
    assert wrapper.precision == 'fp32'
    level, line = log[-1]
    assert level == logging.WARNING and 'began in fp16; it goes on in fp32: fp16 needs a' in line


@pytest.mark.parametrize('now', ['bf16', 'fp32'])
@pytest.mark.parametrize('kind', [dict(), dict(kind='BFloat16OptimWrapper')])
def test_checkpoints_of_former_versions(now, kind, chosen, log, data):
    chosen(now)
    model = Regression()
    state = saved(model, data, kind='OptimWrapper')
    assert 'precision' not in state
    log.clear()
    wrapper = build(model, **kind)
    wrapper.load_state_dict(state)
    assert wrapper.precision == ('bf16' if kind else now)
    warned = [line for level, line in log if level == logging.WARNING]
    if wrapper.precision == 'bf16':
        assert warned == []
    else:
        (line,) = warned
        assert 'names no precision' in line and 'goes on in fp32: which fits this machine' in line


@MODELS.register_module()
class Toy(BaseModel):
    """:class:`Regression` for mmengine's runner."""

    def __init__(self):
        super().__init__()
        self.regression = Regression()

    def forward(self, inputs, mode='loss'):
        return dict(loss=self.regression(torch.stack(inputs)))


def test_a_run_resumed_by_the_host_keeps_its_precision(tmp_path, chosen):
    """In a project that knows the plugin by ``custom_imports`` alone, with mmengine's own parts."""

    def run(name, **resume):
        torch.manual_seed(0)
        data = [dict(inputs=x) for x in torch.randn(16, 4)]
        cfg = Config(
            dict(
                custom_imports=dict(imports=['mmc_plugin']),
                model=dict(type='Toy'),
                work_dir=str(tmp_path / name),
                experiment_name=f'{tmp_path.name}_{name}',
                train_dataloader=dict(
                    batch_size=4,
                    num_workers=0,
                    dataset=data,
                    sampler=dict(type='DefaultSampler', shuffle=False),
                    collate_fn=dict(type='pseudo_collate'),
                ),
                train_cfg=dict(by_epoch=True, max_epochs=2),
                optim_wrapper=dict(
                    type='mmpretrain.AutoPrecisionOptimWrapper',
                    precision='auto',
                    optimizer=dict(type='AdamW', lr=0.1),
                ),
                **resume,
            )
        )
        with DefaultScope.overwrite_default_scope('mmengine'):
            runner = Runner.from_cfg(cfg)
            runner.train()
        return runner

    chosen('bf16')
    whole = run('whole')
    chosen('fp32')  # of another machine
    resumed = run('resumed', resume=True, load_from=str(tmp_path / 'whole' / 'epoch_1.pth'))
    assert resumed.optim_wrapper.precision == 'bf16'
    other = run('other')
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value)
        assert not torch.equal(other.model.state_dict()[name], value)


def test_the_hosts_wrapper_reads_its_state(data):
    model = Regression()
    state = saved(model, data, precision='fp32')
    host = build(model, 'OptimWrapper')
    host.load_state_dict(state)
    assert host.optimizer.state[model.layer.weight]['momentum_buffer'].any()


def test_a_training_step_can_be_compiled():
    # mmengine's runner compiles `train_step`, which is written like this.
    def train_step(model, wrapper, x):
        with wrapper.optim_context(model):
            loss = model(x)
        wrapper.update_params(loss)
        return loss

    graphs, losses = [], []

    def backend(graph, example_inputs):
        graphs.append(graph.code)
        return graph.forward

    data = torch.randn(2, 5, 4)
    model = Regression()
    for step in (train_step, torch.compile(train_step, backend=backend)):
        twin = copy.deepcopy(model)
        wrapper = build(twin, 'mmpretrain.BFloat16OptimWrapper')
        losses.append([step(twin, wrapper, x).detach() for x in data])
        assert {y.dtype for y in twin.outputs} == {torch.bfloat16}
    assert any('linear' in code for code in graphs)
    torch.testing.assert_close(*losses)


def test_accumulation_is_that_of_the_host():
    torch.manual_seed(0)
    data = torch.randn(8, 5, 4).bfloat16().float()  # exact in both precisions
    models, wrappers = [Regression()], []
    with torch.no_grad():
        for p in models[0].parameters():
            p.copy_(p.bfloat16())
    models.append(copy.deepcopy(models[0]))
    for model, kind in zip(models, ('BFloat16OptimWrapper', 'OptimWrapper')):
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
        wrapper = build(model, kind, optimiser, accumulative_counts=3)
        wrapper.initialize_count_status(model, 0, len(data))
        wrappers.append(wrapper)
    moved = []
    for x in data:
        before = [model.layer.weight.detach().clone() for model in models]
        for model, wrapper in zip(models, wrappers):
            with wrapper.optim_context(model):
                loss = model(x)
            wrapper.update_params(loss)
        moved.append([not torch.equal(m.layer.weight, b) for m, b in zip(models, before)])
        torch.testing.assert_close(
            models[0].layer.weight, models[1].layer.weight, rtol=0.02, atol=0.01
        )
    # After 3, after 6, and the two left over at the end of the run.
    assert moved == [[i in (2, 5, 7)] * 2 for i in range(8)]


@pytest.mark.parametrize('precision', ['bf16', 'fp32'])
def test_gradients_wait_for_the_last_step_of_an_accumulation(precision):
    entered = []

    class Distributed(Regression):
        """What DistributedDataParallel has: a context without communication."""

        def no_sync(self):
            entered.append(True)
            return torch.enable_grad()

    model = Distributed()
    wrapper = build(model, precision=precision, accumulative_counts=2)
    for _ in range(4):
        with wrapper.optim_context(model):
            loss = model(torch.randn(2, 4))
        wrapper.update_params(loss)
        entered.append(False)
    assert entered == [True, False, False] * 2
