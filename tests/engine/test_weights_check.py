"""What does not fit is said before a training starts, and most of a model is never left out."""

import pytest
import torch
from mmengine.config import Config
from torch import nn

from mmc_plugin.engine import weights_check
from mmc_plugin.engine.weights_check import check_weights
from mmc_plugin.errors import InputError
from mmc_plugin.models import PretrainedViT


class Model(nn.Module):
    """A backbone of width² + 9 width numbers and a head of 10 width."""

    def __init__(self, width=8, classes=10, tokens=9):
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.layer = nn.Linear(width, width, bias=False)
        self.backbone.pos_embed = nn.Parameter(torch.zeros(1, tokens, width))
        self.head = nn.Linear(width, classes, bias=False)


@pytest.fixture
def check(tmp_path, monkeypatch):
    """Compares a state with a model, and gives what is said of it."""
    said = []
    monkeypatch.setattr(weights_check, 'print_log', lambda text, *args, **kwargs: said.append(text))

    def run(state, model, resume=False, **options) -> str:
        path = str(tmp_path / 'a.pth')
        torch.save(dict(state_dict=state, meta={}), path)
        said.clear()
        check_weights(Config(dict(load_from=path, resume=resume)), model, **options)
        return '\n'.join(said)

    return run


def test_what_fits_is_not_worth_a_word(check):
    state = Model().state_dict()
    for resume in (False, True):
        assert check(state, Model(), resume) == ''
        assert check({f'module.{name}': value for name, value in state.items()}, Model()) == ''
    assert check(state | {'more': torch.ones(1)}, Model()) == ''
    assert check(Model(tokens=17).state_dict(), Model()) == ''  # positions are resized
    check_weights(Config(dict(load_from=None)), Model())
    check_weights(Config(dict(load_from='https://somewhere/a.pth')), Model())


def test_a_head_of_other_classes_is_said(check):
    said = check(Model(classes=3).state_dict(), Model())
    assert '1 of its 3 weights, 37% of the numbers' in said  # 80 of 8² + 9·8 + 10·8
    assert '(of the wrong shape: head.weight (3, 8) for (10, 8))' in said


@pytest.mark.parametrize(('state', 'words'), [
    (Model(width=4).state_dict(),
     'a.pth does not fit the model: 3 of its 3 weights and the whole backbone, 100% of the '),
    ({}, '3 of its 3 weights and the whole backbone, 100%'),
    (Model(width=4).state_dict() | {'head.weight': torch.zeros(10, 8)}, 'the whole backbone, 63%'),
    ({'backbone.pos_embed': torch.zeros(1, 9, 8)}, '2 of its 3 weights, 67% of the numbers'),
])  # fmt: skip
def test_most_of_a_model_is_not_left_out(check, state, words):
    with pytest.raises(InputError, match='--allow-misfit takes what fits') as caught:
        check(state, Model())
    assert words in str(caught.value) and '\n' not in str(caught.value)
    assert words in check(state, Model(), allow_misfit=True)


def test_nothing_is_left_out_of_a_run_that_goes_on(check):
    for state in (Model(classes=3).state_dict(), Model(tokens=17).state_dict()):
        with pytest.raises(InputError, match='1 of its 3 weights.*resume with the config that'):
            check(state, Model(), resume=True)
        assert 'does not fit' in check(state, Model(), resume=True, allow_misfit=True)


def test_nothing_is_left_out_of_a_test(check):
    state = Model(classes=3).state_dict()
    with pytest.raises(InputError, match='1 of its 3 weights.*: give the config that it was'):
        check(state, Model(), test=True)
    assert 'does not fit' in check(state, Model(), test=True, allow_misfit=True)
    assert check(Model().state_dict(), Model(), test=True) == ''
    assert check(Model(tokens=17).state_dict(), Model(), test=True) == ''  # positions are resized
    model = Model()
    model.auxiliary_head = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8))
    model.norm = nn.BatchNorm1d(8)
    state = model.state_dict()
    for name in list(state):
        if name.startswith('auxiliary') or name.endswith('tracked'):
            del state[name]
    assert check(state, model, test=True) == ''  # no prediction depends on them
    del state['norm.running_mean']
    with pytest.raises(InputError, match='missing: norm.running_mean'):
        check(state, model, test=True)


def test_only_the_first_names_are_listed(check):
    arch = dict(embed_dims=128, num_layers=12, num_heads=2, feedforward_channels=256)
    model = PretrainedViT(arch=arch, img_size=16, patch_size=8)
    arch = dict(arch, embed_dims=64)
    with pytest.raises(InputError, match=r'\(of the wrong shape: .* and 128 more\)') as caught:
        check(PretrainedViT(arch=arch, img_size=16, patch_size=8).state_dict(), model)
    assert len(str(caught.value)) < 1500


def test_a_model_that_is_not_built_takes_no_memory(tmp_path):
    arch = dict(embed_dims=8192, num_layers=100, num_heads=64, feedforward_channels=32768)  # 80 G
    cfg = dict(type='PretrainedViT', arch=arch, img_size=16, patch_size=8)
    torch.save({'backbone.x': torch.ones(1)}, tmp_path / 'a.pth')
    with pytest.raises(InputError, match='1206 of its 1206 weights, 100%'):
        check_weights(Config(dict(load_from=str(tmp_path / 'a.pth'), model=cfg)), cfg)
