"""Every config of a pretraining builds, and what it builds is what the paper's method asks for."""

import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS, MODELS, TRANSFORMS
from torch import nn

CONFIGS = Path(__file__).parents[2] / 'configs'
METHODS = 'mmc sit dino ibot mcssl msn maskco mocov3 mae'.split()
FILES = sorted(
    p.relative_to(CONFIGS).as_posix() for m in METHODS for p in CONFIGS.glob(f'{m}/*.py')
)
PAGES = [CONFIGS.parent / 'README.md', *sorted((CONFIGS.parent / 'docs').glob('*.md'))]
ABLATION = [f'mmc/vits_in100_200e_{row}.py' for row in '100 010 001 011 101 110 111'.split()]


def load(name: str) -> Config:
    cfg = Config.fromfile(CONFIGS / name)
    init_default_scope(cfg.default_scope)
    return cfg


def test_the_promised_configs_exist():
    promised = {
        'mmc/vitb_400e.py', 'mmc/vitb_400e_multicrop.py', 'mmc/vits_in100_500e.py',
        'mmc/vits_in100_500e_multicrop.py', 'mmc/vits_folder.py', 'mmc/vitt_caltech101.py',
        'mmc/quickstart.py', *ABLATION,
    }  # fmt: skip
    assert promised <= set(FILES)


def expand(name: str) -> list[str]:
    """Names that the braces of a shell stand for."""
    found = re.search(r'{(.*?)}', name)
    if found is None:
        return [name]
    choices = found[1].split(',')
    return [e for c in choices for e in expand(name[: found.start()] + c + name[found.end() :])]


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_every_config_that_a_page_names_is_there(page):
    folders = '|'.join(METHODS) + '|segmentation|zero_shot|baselines|video'
    folders += '|knn|few_shot|retrieval|parts|variance|discovery|dense_retrieval|detection'
    pattern = rf'\b((?:{folders})/[\w{{}},]+\.py)'
    named = {name for each in re.findall(pattern, page.read_text()) for name in expand(each)}
    assert named or page.name not in (
        'README.md', 'checkpoints.md', 'pretrain.md', 'recognition.md', 'zero_shot.md',
    )  # fmt: skip
    assert [name for name in sorted(named) if not (CONFIGS / name).is_file()] == []


def test_the_page_names_the_configs_that_do_not_take_the_precision_that_fits():
    others = {
        path.relative_to(CONFIGS).parts[0]
        for path in CONFIGS.rglob('*.py')
        if set(re.findall(r"\bprecision='(\w+)'", path.read_text())) - {'auto'}
    }
    page = (CONFIGS.parent / 'docs' / 'pretrain.md').read_text()
    words = page.partition('## Precision')[2].partition('## ')[0]
    assert others == {'detection'} and 'but those of [detection]' in words


@pytest.mark.parametrize('name', FILES)
def test_model_pipeline_hooks_and_optimiser_build(name):
    cfg = load(name)
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    for transform in cfg.train_dataloader.dataset.pipeline:
        TRANSFORMS.build(transform)
    for hook in [*cfg.default_hooks.values(), *cfg.get('custom_hooks', [])]:
        HOOKS.build(hook)
    hooks = [hook.type for hook in cfg.default_hooks.values()]
    assert {'SeedEachIteration', 'MomentumTeacherHook', 'LossGuardHook'} <= set(hooks)
    assert cfg.optim_wrapper.precision == 'auto'
    size, patch = model.backbone.img_size[0], model.patch_size
    assert size % patch == 0
    for module in model.modules():
        assert not isinstance(module, nn.SyncBatchNorm)  # does not run on a CPU


@pytest.mark.parametrize('row', ['100', '010', '001', '011', '101', '110', '111'])
def test_ablation_rows_switch_the_losses_of_their_name(row):
    cfg = load(f'mmc/vits_in100_200e_{row}.py')
    weights = cfg.model.loss_weights
    assert ''.join(str(int(weights[key])) for key in ('rec', 'cls', 'patch')) == row
    assert cfg.train_cfg.max_epochs == 200


def test_the_papers_numbers():
    for name, arch, epochs in [
        ('mmc/vitb_400e.py', 'base', 400),
        ('mmc/vits_in100_500e.py', 'deit-small', 500),
    ]:
        cfg = load(name)
        assert cfg.model.backbone.arch == arch and cfg.train_cfg.max_epochs == epochs
        assert cfg.model.cls_head.temperature == cfg.model.patch_head.temperature == 0.2
        for head in ('cls_head', 'patch_head', 'rec_head'):
            assert cfg.model[head].hidden_channels == 4096
        assert cfg.train_dataloader.batch_size == 48
        assert cfg.optim_wrapper.optimizer.weight_decay == 0.04
        mask = cfg.train_dataloader.dataset.pipeline[2]
        assert (mask.noise_ratio, mask.alien_ratio) == (0.75, 0.30)


def test_decay_is_zero_on_one_dimensional_tensors_and_frozen_ones_are_left_out():
    cfg = load('mmc/vitt_caltech101.py')
    model = MODELS.build(cfg.model)
    runner_like = Runner.build_optim_wrapper  # the runner's own way of building
    wrapper = runner_like(_Bare(model), cfg.optim_wrapper)
    decay = {p: g['weight_decay'] for g in wrapper.optimizer.param_groups for p in g['params']}
    for name, p in model.named_parameters():
        if name.startswith('teacher'):
            assert p not in decay
        else:
            assert decay[p] == (0.0 if p.ndim == 1 else 0.04), name
    assert len(wrapper.optimizer.param_groups) == 2


class _Bare:
    """The part of a runner that ``build_optim_wrapper`` reads."""

    def __init__(self, model):
        self.model = model
        self.logger = None
