"""Configurations are read as text, whatever is in them."""

import pytest
from mmengine.config import Config

from mmc_plugin.checkpoints.run_config import read_run_config


def test_reads_what_mmengine_dumps():
    model = dict(
        type='MMC',
        backbone=dict(arch=dict(num_heads=3), img_size=(32, 48), eps=1e-6, shift=-0.5),
        heads=[dict(type='A', on=True), dict(type='B', name=None)],
    )
    text = Config(dict(model=model, data_preprocessor=dict(mean=[1, 2.5]), other=1)).pretty_text
    found = read_run_config(text)
    assert set(found) == {'model', 'data_preprocessor'}
    assert found['model']['backbone'] == dict(
        arch=dict(num_heads=3), img_size=(32, 48), eps=1e-6, shift=-0.5
    )
    assert found['model']['heads'] == model['heads']
    assert found['data_preprocessor'] == dict(mean=[1, 2.5])


def test_keys_that_are_no_names():
    assert read_run_config("model = {'a b': dict(c=1), 2: [3]}") == dict(
        model={'a b': dict(c=1), 2: [3]}
    )


@pytest.mark.parametrize('text', [
    'model = print(1)', 'model = dict(a=open("x"))', 'model = dict(1)', 'model = dict(**a)',
    'model = a.b', 'model = [x for x in (1,)]', 'model = {**a}', 'model, other = 1, 2',
    'model = (', '\0', '(' * 5000, '', None, dict(model=1), 'model = 1' + ' ' * 2**20,
])  # fmt: skip
def test_anything_else_says_nothing(text):
    assert read_run_config(text) == {}
