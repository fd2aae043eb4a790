import pickle
import struct

import numpy as np
import pytest

from mmc_plugin.datasets.plain_pickles import read_plain_pickle

PLAIN = dict(
    data=np.arange(24, dtype=np.uint8).reshape(4, 6),
    columns=np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    big=np.arange(3, dtype='>i4'),
    empty=np.zeros((0, 4), np.int64),
    labels=[3, 1, 2**70],
    names=('a', b'b', 2.5, None, True),
    scalar=np.float64(1.5),
)


def same(one, other):
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and one.shape == other.shape and (one == other).all()
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.mark.parametrize('protocol', range(6))
def test_reads_what_pickle_reads(tmp_path, protocol):
    path = tmp_path / 'a.pkl'
    path.write_bytes(pickle.dumps(PLAIN, protocol=protocol))
    assert same(PLAIN, read_plain_pickle(path))


def python2(pixels: np.ndarray) -> bytes:
    """A pickle of {'data': pixels} as Python 2 and numpy 1 write it, in protocol 2."""
    raw = pixels.tobytes()
    return (
        b'\x80\x02}q\x01U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\n'
        b'q\x04K\x00\x85q\x05U\x01bq\x06\x87q\x07Rq\x08(K\x01M'
        + struct.pack('<H', pixels.shape[0]) + b'M' + struct.pack('<H', pixels.shape[1])
        + b'\x86q\x09cnumpy\ndtype\nq\x0aU\x02u1q\x0bK\x00K\x01\x87q\x0cRq\x0d(K\x03U\x01|q\x0eNNN'
        b'J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x0fb\x89T'
        + struct.pack('<I', len(raw)) + raw + b'q\x10tq\x11bs.'
    )  # fmt: skip


def test_reads_arrays_of_python_2(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (300, 7), dtype=np.uint8)
    content = python2(pixels)
    assert (pickle.loads(content, encoding='latin1')['data'] == pixels).all()
    (tmp_path / 'batch').write_bytes(content)
    assert (read_plain_pickle(tmp_path / 'batch')['data'] == pixels).all()


class Runs:
    def __reduce__(self):
        return print, ('it ran',)


class Foreign:
    pass


@pytest.mark.parametrize(
    'content, words',
    [
        (Runs(), 'builtins.print|__builtin__.print'),
        (dict(a=[Runs()]), 'print'),
        (Foreign(), 'Foreign'),
        (np.array([Runs()]), "an array of 'O8'"),
        (np.zeros(2, [('a', 'i4')]), "an array of 'V4'"),
        (np.datetime64('2026-01-01'), "an array of 'M8'"),
        ({1, 2}, 'set|EMPTY_SET'),
    ],
)
@pytest.mark.parametrize('protocol', [2, 4])
def test_what_is_not_plain_is_refused_and_does_not_run(tmp_path, capsys, content, words, protocol):
    path = tmp_path / 'a.pkl'
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    with pytest.raises(ValueError, match=f'a.pkl is refused: it holds .*({words})'):
        read_plain_pickle(path)
    assert 'it ran' not in capsys.readouterr().out


@pytest.mark.parametrize(
    'content, words',
    [
        (b'', 'no whole pickle'),
        (b'hello', 'no whole pickle|refused'),
        (pickle.dumps(PLAIN)[:-30], 'no whole pickle'),
        (b'\x80\x02]r\xff\xff\xff\x7f.', 'an index beyond its bytes'),
        # A state for a function, which would change it for later files.
        (b'\x80\x02c_codecs\nencode\n}U\x0c__defaults__NsN\x86b.', 'a state for what has none'),
        # An array that claims more than it has.
        (python2(np.zeros((2, 3), np.uint8)).replace(b'M\x02\x00', b'M\xff\xff'), 'another size'),
    ],
)
def test_damaged_ones_get_a_sentence(tmp_path, content, words):
    path = tmp_path / 'a.pkl'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words):
        read_plain_pickle(path)


def test_shared_parts_are_followed_once_and_circles_refused(tmp_path):
    shared = [1]
    for _ in range(40):
        shared = [shared, shared]
    path = tmp_path / 'a.pkl'
    path.write_bytes(pickle.dumps(shared))
    read_plain_pickle(path)
    shared.append(shared)
    path.write_bytes(pickle.dumps(shared))
    with pytest.raises(ValueError, match='too deep'):
        read_plain_pickle(path)
