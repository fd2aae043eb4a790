"""A short hunt with a fixed seed, and a hunt that has something to find."""

import importlib.util
import random
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[2] / 'tools' / 'fuzz' / 'checkpoints.py'


@pytest.fixture(scope='module')
def fuzz():
    spec = importlib.util.spec_from_file_location('fuzz_checkpoints', PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_nothing_is_found(fuzz):
    found = []
    kinds = ['zip', 'legacy', 'safetensors', 'onnx']
    result = fuzz.hunt(300, seed=0, kinds=kinds, say=found.append)
    assert found == [] and result['failed'] == 0
    assert result['read'] + result['refused'] == result['tried'] == 300
    assert result['read'] > 5 and result['refused'] > 100


def test_the_seeds_are_read_and_mutations_repeat(fuzz, tmp_path):
    for kind, content in fuzz.seeds().items():
        path = tmp_path / f'{kind}.onnx'
        path.write_bytes(content)
        assert fuzz.judge(str(path))[0] == 'read', kind
        one, two = (fuzz.mutate(random.Random('3 4'), content, content) for _ in range(2))
        assert one == two


def test_what_is_wrong_is_found(fuzz, monkeypatch, tmp_path):
    import os
    import time

    def read(path, num_heads):
        index = int(path.rpartition('_')[2].partition('.')[0])
        if index == 0:
            raise KeyError('raw')
        if index == 1:
            os._exit(11)
        if index == 2:
            time.sleep(60)
        if index == 3:
            raise fuzz.InputError('two\nlines')
        if index == 4:
            bytes(bytearray(b'x') * 600_000_000)

    monkeypatch.setattr(fuzz, 'read_backbone', read)
    monkeypatch.setattr(fuzz, 'SECONDS', 1.5)
    found = []
    result = fuzz.hunt(6, 0, ['zip'], keep=tmp_path, say=found.append)
    assert result['failed'] == 5 and result['read'] == 1
    for line, words in zip(found, ('KeyError', 'died (11)', 'no end', 'sentence', ' MB')):
        assert words in line
    assert len(list(tmp_path.iterdir())) == 5
