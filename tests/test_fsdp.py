"""Training with a sharded model is training with a whole one, and can be resumed.

Two gloo processes run this file as a script, which trains small models on the photographs; the
tests compare what the runs leave.
"""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.registry import RUNNERS, init_default_scope
from mmengine.runner import Runner
from mmpretrain.registry import MODELS

from mmc_plugin.engine import cli, fsdp, precision
from mmc_plugin.engine.fsdp import (
    FullyShardOptimWrapper,
    FullyShardStrategy,
    ShardedStrategy,
    wrap_types,
)
from mmc_plugin.engine.hooks.loss_guard import check_train_dataloader
from mmc_plugin.engine.optimizers import auto_precision
from mmc_plugin.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / 'configs' / 'mmc'
FSDP2 = hasattr(torch.distributed.fsdp, 'fully_shard')
needs_fsdp2 = pytest.mark.skipif(not FSDP2, reason='FSDP2 needs PyTorch 2.6')
WORLD, EPOCHS, ITERS = 2, 2, 2  # ten images, two processes, batches of two

# The real config, made small: drop-path, clipping, decay, schedules and momentum are all at work.
SMALL = """
_base_ = ['{root}/configs/mmc/vitl_fsdp.py']
size, patch, width = 32, 8, 48
head = dict(in_channels=width, hidden_channels=64)
model = dict(
    backbone=dict(
        arch=dict(
            _delete_=True, embed_dims=width, num_layers=2, num_heads=3, feedforward_channels=96),
        img_size=size, patch_size=patch),
    rec_head=dict(patch_size=patch, **head),
    patch_head=dict(out_channels=16, **head),
    cls_head=dict(out_channels=16, **head),
    momentum=0.5)
view = [dict(type='ViewCrop', size=size, scale=(0.2, 1.0)), dict(type='ViewFlip', prob=0.5)]
train_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False, pin_memory=False,
    dataset=dict(data_root=r'{images}', pipeline=[
        dict(type='LoadImage'),
        dict(type='MultiView', num_views=[1, 1], transforms=[view, view]),
        dict(type='GMMLMask', align=patch),
        dict(type='PackViews')]))
auto_scale_lr = dict(base_batch_size=2)
train_cfg = dict(max_epochs={epochs})
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True)]
default_hooks = dict(logger=dict(interval=1))
log_processor = dict(window_size=1)
visualizer = dict(vis_backends=[dict(type='LocalVisBackend')])
"""
# Other methods: parts of their heads are called by themselves, last layers learn nothing at first,
# and some parameters are not the teacher's.
FAMILY = """
_base_ = {base}
custom_imports = dict(imports=['mmc_plugin', 'mmc_plugin.engine.fsdp'])
size, patch, width = 32, 8, 48
model = dict(
    backbone=dict(
        arch=dict(
            _delete_=True, embed_dims=width, num_layers=2, num_heads=3, feedforward_channels=96),
        img_size=size, patch_size=patch),
    {teacher} {model})
view = [dict(type='ViewCrop', size=size, scale=(0.2, 1.0))]
crop = [dict(type='ViewCrop', size=16, scale=(0.1, 0.3))]
train_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False, pin_memory=False,
    dataset=dict(data_root=r'{images}', pipeline=[
        dict(type='LoadImage'), {views}, dict(type='PackViews'{packed})]))
optim_wrapper = dict(
    type='ShardedAutoPrecisionOptimWrapper', constructor='ShardedOptimWrapperConstructor')
auto_scale_lr = dict(base_batch_size=2)
train_cfg = dict(max_epochs=2)
param_scheduler = []
default_hooks = dict(logger=dict(interval=1))
log_processor = dict(window_size=1)
visualizer = dict(vis_backends=[dict(type='LocalVisBackend')])
"""
GLOBAL = "dict(type='MultiView', num_views=[1, 1], transforms=[view, view])"
CROPS = "dict(type='MultiView', num_views=[2, 2], transforms=[view, crop])"
GMML = "dict(type='GMMLMask', align=patch)"
PROTOTYPES = 'in_channels=width, hidden_channels=64, out_channels=16, num_prototypes=32'
SHARDED = f'{ROOT}/configs/_base_/fsdp.py'
METHODS = dict(
    sit=dict(
        base=[f'{ROOT}/configs/sit/vits_in1k_800e.py', SHARDED],
        model='rec_head=dict(in_channels=width, hidden_channels=width, patch_size=patch),'
        ' cls_head=dict(in_channels=width, hidden_channels=64, out_channels=16)',
        views=f'{GLOBAL}, {GMML}',
    ),
    dino=dict(
        base=[f'{ROOT}/configs/dino/vits_in1k_100e.py', SHARDED],
        model=f'head=dict({PROTOTYPES})',
        views=CROPS,
    ),
    ibot=dict(
        base=[f'{ROOT}/configs/ibot/vitl_fsdp.py'],
        model=f'head=dict({PROTOTYPES}, separate_patches=True, train_length=True)',
        views=f"{CROPS}, dict(type='BlockMask', patch_size=patch, ratios=[(0.0, 0.9)],"
        " shape='random')",
    ),
    mcssl=dict(
        base=[f'{ROOT}/configs/mcssl/vits_in1k_800e.py', SHARDED],
        model=f'head=dict({PROTOTYPES}),'
        ' rec_head=dict(in_channels=width, hidden_channels=width, patch_size=patch)',
        views=f'{GLOBAL}, {GMML}',
    ),
    msn=dict(
        base=[f'{ROOT}/configs/msn/vits_in1k_800e.py', SHARDED],
        model="num_prototypes=32, head=dict(in_channels=width, hidden_channels=64,"
        " out_channels=16, norm_cfg=dict(type='LN'))",
        views=f"{CROPS}, dict(type='PatchDrop', patch_size=patch)",
    ),
    maskco=dict(
        base=[f'{ROOT}/configs/maskco/vits_coco.py', SHARDED],
        model='head=dict(in_channels=width, hidden_channels=64, out_channels=16,'
        ' norm_cfg=dict(type="LN")),'
        ' mask_head=dict(in_channels=width, num_heads=3), queue_length=8, bins=4',
        views="dict(type='RegionViews', patch_size=patch, side=(0.5, 1.0), min_overlap=0.5,"
        ' transforms=[view, view])',
    ),
    mae=dict(
        base=[f'{ROOT}/configs/mae/vits_in1k_800e.py', SHARDED],
        teacher='',
        model='neck=dict(num_patches=16, patch_size=patch, embed_dim=width, decoder_embed_dim=24,'
        ' decoder_depth=1, decoder_num_heads=2), head=dict(patch_size=patch)',
        views="dict(type='MultiView', num_views=[1], transforms=[view])",
        packed=', num_views=1',
    ),
)  # fmt: skip
TEACHING = [method for method, parts in METHODS.items() if 'teacher' not in parts]
# Adam would hide gradients that are scaled wrongly.
SGD = dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=0.3)
CLIP = dict(max_norm=0.5)


def family_config(
    images: Path, teacher: str = 'momentum=0.5,', packed: str = '', **parts: str
) -> str:
    """The small config of a method, with or without a teacher."""
    return FAMILY.format(images=images, teacher=teacher, packed=packed, **parts)


def newer(*values):
    """Parameters of tests of FSDP2."""
    return [pytest.param(value, marks=needs_fsdp2) for value in values]


def train(folder: Path, name: str, change) -> Runner:
    """Train the small config, changed by ``change(cfg)``, in ``folder/name``."""
    cfg = cli.load_config(str(folder / 'small.py'), None, 'pytorch', str(folder / name))
    cfg.experiment_name = name
    change(cfg)
    cli.prepare_launch(cfg)
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    check_train_dataloader(runner.train_dataloader)
    runner.train()
    return runner


def work(rank: int, folder: Path, methods: list[str]) -> None:
    """What one process does: all runs of MMC, or those of other methods."""
    torch.set_num_threads(1)
    dist.init_process_group('gloo', f'file://{folder}/store', rank=rank, world_size=WORLD)

    def sgd(cfg):
        cfg.optim_wrapper.optimizer = SGD
        cfg.optim_wrapper.clip_grad = dict(cfg.optim_wrapper.get('clip_grad') or {}) | CLIP
        cfg.optim_wrapper.precision = 'fp32'
        for head in ('patch_head', 'cls_head'):  # batch norm over two images would be chaotic
            if head in cfg.model:
                cfg.model[head].norm_cfg = dict(type='LN')

    def whole(cfg):
        sgd(cfg)
        cfg.pop('runner_type')
        cfg.pop('strategy')
        cfg.optim_wrapper.update(
            type='AutoPrecisionOptimWrapper', constructor='MergedGroupsOptimWrapperConstructor'
        )

    def adamw(cfg):
        cfg.optim_wrapper.precision = 'bf16'

    def resumed(cfg, whose='adamw'):
        Path(cfg.work_dir).mkdir(exist_ok=True)
        checkpoint = Path(cfg.work_dir) / 'epoch_1.pth'
        if rank == 0:
            shutil.copy(folder / whose / 'epoch_1.pth', checkpoint)
        dist.barrier()
        cfg.update(resume=True, load_from=str(checkpoint))
        # Of itself it would take fp32, but the checkpoint has bf16.
        assert cfg.optim_wrapper.precision == 'auto'
        precision.bf16_speedup = lambda: 0.1

    def fully(cfg):
        cfg.strategy.type = 'FullyShardStrategy'
        cfg.optim_wrapper.update(
            type='FullyShardOptimWrapper', constructor='MergedGroupsOptimWrapperConstructor'
        )

    def fully_sgd(cfg):
        sgd(cfg)
        fully(cfg)

    def fully_recomputed(cfg):
        fully_sgd(cfg)
        cfg.default_hooks.recompute = dict(type='ActivationCheckpointingHook')

    def fully_adamw(cfg):
        adamw(cfg)
        fully(cfg)

    def fully_resumed(cfg):
        fully(cfg)
        resumed(cfg, 'fully_adamw')

    for method in methods:
        train(folder / method, 'whole', whole)
        train(folder / method, 'sharded', sgd)
        if FSDP2:
            train(folder / method, 'fully', fully_sgd)
    if methods:
        cli.end_launch()
        return
    train(folder, 'whole', whole)
    model = train(folder, 'sharded', sgd).model
    parts = {
        name.replace('_fsdp_wrapped_module.', ''): p.numel() for name, p in model.named_parameters()
    }
    (folder / f'parts_{rank}.json').write_text(json.dumps(parts))
    train(folder, 'adamw', adamw)
    train(folder, 'resumed', resumed)
    if FSDP2:
        train(folder, 'fully', fully_sgd)
        train(folder, 'fully_recomputed', fully_recomputed)
        train(folder, 'fully_adamw', fully_adamw)
        train(folder, 'fully_resumed', fully_resumed)
    cli.end_launch()


@pytest.fixture(scope='module')
def runs(fork_server, photo_folder, tmp_path_factory) -> Path:
    """Folder with all runs."""
    folder = tmp_path_factory.mktemp('fsdp')
    (folder / 'small.py').write_text(SMALL.format(root=ROOT, images=photo_folder, epochs=EPOCHS))
    fork_server.run_ranks(__file__, [], folder)
    return folder


@pytest.fixture(scope='module')
def family(fork_server, photo_folder, tmp_path_factory) -> Path:
    """Folder with the runs of other methods."""
    folder = tmp_path_factory.mktemp('fsdp_family')
    for method, parts in METHODS.items():
        (folder / method).mkdir()
        (folder / method / 'small.py').write_text(family_config(photo_folder, **parts))
    fork_server.run_ranks(__file__, [*METHODS], folder)
    return folder


def scalars(run: Path) -> list[dict]:
    """What the run wrote of each iteration."""
    (file,) = run.glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in file.read_text().splitlines()]


def saved(path: Path) -> dict:
    return torch.load(path, weights_only=False)


@pytest.mark.parametrize('how', ['sharded', *newer('fully', 'fully_recomputed')])
def test_sharded_is_whole(how, runs):
    whole, sharded = scalars(runs / 'whole'), scalars(runs / how)
    assert len(whole) == len(sharded) == EPOCHS * ITERS
    for a, b in zip(whole, sharded):
        assert a['lr'] == pytest.approx(b['lr'], rel=1e-9)
        for key in ('loss_rec', 'loss_patch', 'loss_cls', 'grad_norm', 'teacher_momentum'):
            assert a[key] == pytest.approx(b[key], rel=1e-4), (a['iter'], key)
        assert a['grad_norm'] > 2 * CLIP['max_norm']  # clipping is at work

    one = saved(runs / 'whole' / f'epoch_{EPOCHS}.pth')
    two = saved(runs / how / f'epoch_{EPOCHS}.pth')
    assert set(one['state_dict']) == set(two['state_dict'])
    for name, value in one['state_dict'].items():
        torch.testing.assert_close(
            two['state_dict'][name], value, rtol=1e-4, atol=1e-6, msg=lambda m, n=name: f'{n}: {m}'
        )


def test_the_teacher_follows_in_every_process(runs):
    parts = [json.loads((runs / f'parts_{rank}.json').read_text()) for rank in range(WORLD)]
    state = saved(runs / 'sharded' / f'epoch_{EPOCHS}.pth')['state_dict']
    for mine in parts:
        for name, numel in mine.items():
            if name.startswith('teacher.'):
                assert numel == mine[name.removeprefix('teacher.')]
    for name in parts[0]:  # the processes share all parameters between them
        assert sum(mine[name] for mine in parts) == state[name].numel()
    totals = [sum(mine.values()) for mine in parts]
    assert max(totals) < 1.1 * min(totals)


@pytest.mark.parametrize('name', ['adamw', *newer('fully_adamw')])
def test_checkpoints_are_those_of_the_whole_model(name, runs):
    cfg = Config.fromfile(runs / 'small.py')
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model)
    model.load_state_dict(saved(runs / name / 'epoch_2.pth')['state_dict'], strict=True)


@pytest.mark.parametrize('name', ['adamw', *newer('fully_adamw')])
def test_decay_is_that_of_whole_tensors(name, runs):
    cfg = Config.fromfile(runs / 'small.py')
    init_default_scope(cfg.default_scope)
    whole = {n: p.ndim for n, p in MODELS.build(cfg.model).named_parameters() if p.requires_grad}
    groups = saved(runs / name / 'epoch_2.pth')['optimizer']['param_groups']
    decay = {name: group['weight_decay'] for group in groups for name in group['params']}
    assert decay == {name: 0.0 if ndim == 1 else 0.04 for name, ndim in whole.items()}


@pytest.mark.parametrize('names', [('adamw', 'resumed'), *newer(('fully_adamw', 'fully_resumed'))])
def test_a_resumed_run_repeats_the_whole_one(names, runs):
    full, resumed = (scalars(runs / name) for name in names)
    keys = ('iter', 'lr', 'loss', 'loss_rec', 'loss_patch', 'loss_cls', 'grad_norm')
    assert [[row[key] for key in keys] for row in full[ITERS:]] == [
        [row[key] for key in keys] for row in resumed
    ]
    one, two = (saved(runs / name / 'epoch_2.pth') for name in names)
    assert one['optimizer']['precision'] == two['optimizer']['precision'] == 'bf16'
    for name, value in one['state_dict'].items():
        assert torch.equal(two['state_dict'][name], value), name
    for name, state in one['optimizer']['state'].items():
        for key, value in state.items():
            assert torch.equal(two['optimizer']['state'][name][key], value), (name, key)


@pytest.mark.parametrize('name, layers', [('vitl_fsdp.py', 24), ('vith_fsdp.py', 32)])
def test_units_hold_every_parameter_and_are_the_same_in_the_teacher(name, layers):
    cfg = Config.fromfile(CONFIGS / name)
    init_default_scope(cfg.default_scope)
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    types = cfg.strategy.model_wrapper.auto_wrap_policy.types
    units = {n for n, m in model.named_modules() if wrap_types(m, False, 0, types)}
    student = {unit for unit in units if not unit.startswith('teacher.')}
    assert {f'teacher.{unit}' for unit in student - {'rec_head'}} == units - student
    assert len(student) == layers + 4  # and the backbone around them and three heads
    for parameter, _ in model.named_parameters():
        assert any(parameter.startswith(f'{unit}.') for unit in units), parameter
    assert all(wrap_types(module, True, 0, types) for module in model.modules())


@pytest.mark.parametrize('how', ['sharded', *newer('fully')])
@pytest.mark.parametrize('method', METHODS)
def test_a_sharded_method_of_the_family_is_a_whole_one(method, how, family):
    whole, sharded = (scalars(family / method / name) for name in ('whole', how))
    assert len(whole) == len(sharded) == 2 * ITERS
    for a, b in zip(whole, sharded, strict=True):
        for key in [key for key in a if 'loss' in key or key in ('grad_norm', 'target_entropy')]:
            assert a[key] == pytest.approx(b[key], rel=1e-4), (a['iter'], key)
    one, two = (
        saved(family / method / name / 'epoch_2.pth')['state_dict'] for name in ('whole', how)
    )
    assert set(one) == set(two)
    for name, value in one.items():  # teacher, centres and prototypes too
        torch.testing.assert_close(
            two[name], value, rtol=1e-4, atol=1e-6, msg=lambda m, n=name: f'{n}: {m}'
        )


@pytest.mark.parametrize('method', TEACHING)
def test_units_hold_all_that_a_teacher_of_the_family_follows(method, family):
    cfg = Config.fromfile(family / method / 'small.py')
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model)
    types = cfg.strategy.model_wrapper.auto_wrap_policy.types
    units = {n for n, m in model.named_modules() if wrap_types(m, False, 0, types)}
    for name, _ in model.teacher.named_parameters():
        for whose in (name, f'teacher.{name}'):
            assert any(whose.startswith(f'{unit}.') for unit in units), whose


@needs_fsdp2
def test_what_fully_shard_does_not_do_is_refused(tmp_path, monkeypatch):
    env = dict(launcher='none', randomness=dict(seed=0))
    with monkeypatch.context() as old:
        old.delattr('torch.distributed.fsdp.fully_shard')
        with pytest.raises(InputError, match='needs PyTorch 2.6 or later'):
            FullyShardStrategy(model_wrapper={}, work_dir=str(tmp_path), env_kwargs=env)
    with pytest.raises(InputError, match="is FULL_SHARD or SHARD_GRAD_OP, not 'NO_SHARD'"):
        FullyShardStrategy(
            model_wrapper=dict(sharding_strategy='NO_SHARD'), work_dir=str(tmp_path), env_kwargs=env
        )
    optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=1)
    with pytest.raises(InputError, match='fp32 or bf16, not in fp16'):
        FullyShardOptimWrapper(optimizer=optimizer, precision='fp32')._make_scaler(enabled=True)


def test_fully_shard_takes_fp32_where_auto_is_fp16(monkeypatch):
    said = []
    monkeypatch.setattr(fsdp, 'print_log', lambda words, logger: said.append(words))
    monkeypatch.setattr(auto_precision, 'agreed_precision', lambda device: ('fp16', 'an old GPU'))
    optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=1)
    wrapper = FullyShardOptimWrapper(optimizer=optimizer)
    assert wrapper.precision == 'fp32' and not wrapper.loss_scaler.is_enabled()
    assert said == ['FullyShardStrategy has no fp16: training in fp32.']
    wrapper.device = 'cuda'
    scale = torch.amp.GradScaler('cpu').state_dict()
    wrapper.load_state_dict(optimizer.state_dict() | dict(precision='fp16', loss_scaler=scale))
    assert wrapper.precision == 'fp32'


def test_one_process_is_refused_in_a_sentence(tmp_path):
    strategy = ShardedStrategy(
        work_dir=str(tmp_path), env_kwargs=dict(launcher='none', randomness=dict(seed=0))
    )
    with pytest.raises(ValueError, match='tools/dist_train.sh'):
        strategy._wrap_model(torch.nn.Linear(2, 2))


if __name__ == '__main__':
    work(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
