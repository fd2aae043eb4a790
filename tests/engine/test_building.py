"""What is wrong in a part that checks cannot know is said when the part is built."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS, TRANSFORMS

from mmc_plugin.engine import cli
from mmc_plugin.engine.building import unbuildable
from mmc_plugin.engine.options import parse_options
from mmc_plugin.engine.runner import build_runner
from mmc_plugin.errors import InputError

PIPELINE = 'train_dataloader.dataset.pipeline'
# Option → what is said; they pass the checks of a config.
IN_A_MODEL = {
    'model.backbone.arch=deit-smal': 'Arch deit-smal is not in default archs',
    'model.backbone.arch=3': 'Custom arch needs a dict with keys',
    'model.backbone.patch_size=0': 'VisionTransformer cannot be built from the config: ',
    'model.backbone.patch_size=15': 'set both to one value',
    'model.backbone.img_size=big': 'VisionTransformer cannot be built from the config: ',
    'model.backbone.out_type=rawr': 'Unsupported `out_type` rawr, please choose from',
    'model.rec_head.in_channels=383': 'but the tokens of the backbone have 384 channels',
    'model.cls_head.out_channels=-256': 'negative dimension -256',
    'model.patch_head.queries=some': "queries must be 'all' or 'masked'",
    'model.loss_weights=1': 'MMC cannot be built from the config: ',
    'model.data_preprocessor.mean=[1,2]': 'has 2 numbers as mean and 3 as std',
}
IN_A_PIPELINE = {
    f'{PIPELINE}.2.noise_ratio=2': 'noise_ratio must lie in (0, 1]',
    f'{PIPELINE}.2.alien_prob=5': 'alien_prob must lie in [0, 1]',
    f'{PIPELINE}.2.align=-16': 'align must be a whole number of at least 1',
    f'{PIPELINE}.1.num_views=[1]': 'MultiView cannot be built from the config: assert len(num_view',
    f'{PIPELINE}.1.transforms.0.0.size=0': 'size must be a positive whole number of pixels',
    f'{PIPELINE}.1.transforms.0.0.scale=(1,.2)': 'scale must be a pair (smallest, largest)',
    f'{PIPELINE}.1.transforms.0.1.prob=7': 'prob must be a number in [0, 1]',
}
IN_A_RUN = {
    'train_cfg.max_iters=10': "unexpected keyword argument 'max_iters'",
    'val_dataloader.batch_size=3': 'should be either all None or not None',
    'runner_type=Runer': "runner_type is 'Runer'",
    'model.type=None': 'model cannot be built from the config: type must be',
}


def sentence(capsys, build) -> str:
    """What is printed of a mistake; one line."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop, cli.one_sentence_errors():
        build()
    assert stop.value.code == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error')]
    assert len(said) == 1
    return said[0]


@pytest.mark.parametrize('option, words', [*IN_A_MODEL.items(), *IN_A_PIPELINE.items()])
def test_parts_that_cannot_be_built(option, words, capsys):
    cfg = cli.load_config('mmc/vits_in100_500e.py', parse_options([option]))
    init_default_scope('mmpretrain')

    def build():
        if option in IN_A_MODEL:
            with torch.device('meta'):
                MODELS.build(cfg.model)
        for each in cfg.train_dataloader.dataset.pipeline:
            TRANSFORMS.build(each)

    assert words in sentence(capsys, build)


@pytest.mark.parametrize('option, words', IN_A_RUN.items())
def test_runs_that_cannot_be_built(option, words, capsys, tmp_path):
    cfg = cli.load_config('mmc/vitt_caltech101.py', parse_options([option]), work_dir=str(tmp_path))
    cfg.experiment_name = f'{tmp_path.name}_{option}'

    def build():
        build_runner(cfg).build_train_loop(dict(cfg.train_cfg))

    assert words in sentence(capsys, build)


def test_other_errors_are_no_matter_of_the_config():
    def fail():
        raise ValueError('a mistake of ours')

    with pytest.raises(ValueError) as caught:
        fail()
    assert unbuildable(caught.value) is None
    with pytest.raises(ValueError), cli.one_sentence_errors():
        fail()


def test_the_traceback_is_there_for_those_who_ask(monkeypatch, tmp_path):
    monkeypatch.setenv('MMC_TRACEBACK', '1')
    cfg = Config(dict(work_dir=str(tmp_path), model=3, experiment_name=tmp_path.name))
    with pytest.raises(
        InputError, match='model cannot be built from the config: model should'
    ) as found:
        build_runner(cfg)
    assert isinstance(found.value.__cause__, TypeError)


def test_a_mistake_in_a_parts_own_code_can_be_looked_for(capsys):
    init_default_scope('mmpretrain')  # the run before has left its own

    @MODELS.register_module(name='Mistaken', force=True)
    class Mistaken(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.nothing.sort()

    said = sentence(capsys, lambda: MODELS.build(dict(type='Mistaken')))
    assert 'Mistaken cannot be built from the config: ' in said
    assert "no attribute 'nothing' (with MMC_TRACEBACK=1 in the environment the line is" in said
