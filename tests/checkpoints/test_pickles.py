"""The walk over a pickle takes and refuses what one with pickletools does."""

import io
import pickle
import pickletools
import random
import zipfile

import pytest
import torch

from mmc_plugin.checkpoints import pickles
from mmc_plugin.checkpoints.pickles import OF_JUNK, RefusedPickleError, skip_pickle
from mmc_plugin.checkpoints.tuples import TupleSizes


def walk(file):
    """The same with nothing but pickletools."""
    start, sizes = file.tell(), TupleSizes()
    for opcode, argument, position in pickletools.genops(file):
        if opcode.name == 'PROTO' and argument > 3:
            raise RefusedPickleError(
                f'a pickle of protocol {argument}, where torch.save takes protocol 2'
            )
        if opcode.code not in pickles._OPCODES:
            raise RefusedPickleError('a pickle with operations that no weights need')
        if not sizes.follow(opcode.code, argument):
            raise RefusedPickleError('a tuple larger than any that weights need')
        if opcode.name == 'LONG_BINPUT' and argument > position - start:
            raise RefusedPickleError('a pickle that takes more memory than it has bytes')


def outcome(skip, data):
    """Where a walk ends, the refusal, or that it is junk."""
    file = io.BytesIO(b'before' + data)
    file.seek(6)
    try:
        skip(file)
        return file.tell()
    except RefusedPickleError as error:
        return str(error)
    except OF_JUNK:
        return 'junk'


def of_torch(tmp_path, content):
    torch.save(content, tmp_path / 'a.pth')
    with zipfile.ZipFile(tmp_path / 'a.pth') as archive:
        return archive.read('a/data.pkl')


@pytest.fixture
def samples(tmp_path):
    values = [
        {f'layer{i}.weight': torch.ones(1 + i % 3, 2) for i in range(90)},
        dict(
            meta=dict(cfg='é' * 300, seed=7, big=2**70, rate=0.5), names=tuple(map(str, range(9)))
        ),
        {1: None, 'set': {1, 2}, 'deep': [[(), (1, (2, (3, 4, 5, 6)))]], 'bytes': b'abc'},
    ]
    found = [of_torch(tmp_path, value) for value in values]
    return found + [pickle.dumps(values[2], protocol=protocol) for protocol in range(5)]


def test_all_samples(samples):
    found = [outcome(skip_pickle, data) for data in samples]
    assert found == [outcome(walk, data) for data in samples]
    assert [each if isinstance(each, str) else '' for each in found[:3]] == [''] * 3


def test_all_cuts_of_a_sample(samples):
    for data in (samples[1], samples[2]):
        for length in range(len(data)):
            assert outcome(skip_pickle, data[:length]) == outcome(walk, data[:length]) == 'junk'


def test_damaged_samples(samples):
    """Bytes are changed, taken out and put in, opcodes above all."""
    draw, seen = random.Random(0), set()
    codes = [each.code.encode('latin-1') for each in pickletools.opcodes]
    for turn in range(3000):
        data = bytearray(samples[turn % len(samples)])
        for _ in range(draw.randint(1, 3)):
            place = draw.randrange(len(data))
            new = draw.choice([draw.choice(codes), draw.randbytes(1), b'\xff', b''])
            data[place : place + draw.randint(0, 1)] = new
        found = outcome(skip_pickle, bytes(data))
        assert found == outcome(walk, bytes(data)), bytes(data)
        seen.add(found if isinstance(found, str) else 'whole')
    assert {'whole', 'junk', 'a pickle that takes more memory than it has bytes'} <= seen
    assert 'a pickle with operations that no weights need' in seen


def test_a_pickle_without_end(monkeypatch):
    monkeypatch.setattr(pickles, 'LARGEST_PICKLE', 1000)
    assert outcome(skip_pickle, b'\x80\x02' + b'N' * 998 + b'.') == 6 + 1001
    assert (
        outcome(skip_pickle, b'\x80\x02' + b'N' * 999 + b'.')
        == 'an outline of more than 1,000 bytes'
    )
