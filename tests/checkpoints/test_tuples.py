"""The sizes are those of the tuples that Python's unpickler makes."""

import io
import pickle
import pickletools

import pytest
import torch

from mmc_plugin.checkpoints import read_checkpoint
from mmc_plugin.checkpoints.pickles import RefusedPickleError, read_outline, skip_pickle
from mmc_plugin.checkpoints.tuples import TupleSizes

PLAIN = b'\x80\x02}'


def size(value) -> int:
    return 1 + sum(map(size, value)) if isinstance(value, tuple) else 1


@pytest.mark.parametrize('value', [
    (), (1,), (1, 'a'), (1, 2.5, None), (True, (), ((),), b'x'), tuple(range(9)), ((1, 2),) * 5,
    ([1, (2, 3)], {1: (2,)}, {}, ('a', {'b': (1, 2)})), (1, (2, (3, (4, (5,))))),
])  # fmt: skip
def test_sizes(value):
    sizes = TupleSizes()
    data = pickle.dumps(value, protocol=2)
    for opcode, argument, _ in pickletools.genops(data):
        assert sizes.follow(opcode.code, argument)
    assert [size for size, _ in sizes.stack] == [size(value)]


def test_tuples_that_would_never_be_hashed_or_end_the_process():
    shared = b')' + b''.join(b'q%ch%c\x86' % (i, i) for i in range(40))  # 2^40 items
    deep = b')' + b'\x85' * 1_000_000
    for key in (shared, deep):
        for pickled in (PLAIN + key + b'K\x01s.', PLAIN + b'(' + key + b'K\x01u.'):
            with pytest.raises(RefusedPickleError, match='a tuple larger than any'):
                read_outline(pickled)
    pair = b'(' + b'K\x01' * 1001 + b't'  # a tuple that may be a value, not a key
    assert len(read_outline(PLAIN + b'K\x01' + pair + b's.')[0][1]) == 1001
    for hashed in (PLAIN + pair + b'K\x01s.', pair + b'Q.'):
        with pytest.raises(RefusedPickleError, match='a tuple larger than any'):
            read_outline(hashed)
    ordered = b'\x80\x02ccollections\nOrderedDict\n](]K\x01aK\x02ae\x85R.'
    with pytest.raises(RefusedPickleError):
        read_outline(ordered.replace(b'K\x01a', b')a'))


def test_classes_of_data_sets_pass(tmp_path):
    meta = dict(
        dataset_meta=dict(classes=tuple(map(str, range(21_841))), palette=((1, 2, 3),) * 999)
    )
    torch.save(dict(meta=meta), tmp_path / 'a.pth')
    assert read_checkpoint(tmp_path / 'a.pth').content['meta'] == meta


def test_damaged_stacks():
    for junk in (b'\x80\x02\x86.', b'\x80\x02t.', b'\x80\x02h\x05.', b'\x80\x02s.', b'\x80\x02u.'):
        with pytest.raises(LookupError):
            skip_pickle(io.BytesIO(junk))
