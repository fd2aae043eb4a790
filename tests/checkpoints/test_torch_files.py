"""Files of torch.save are read bit by bit as torch reads them, and code in them is not run."""

import argparse
import io
import os
import pathlib
import pickle
import shutil
import struct
import sys
import zipfile

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from mmc_plugin.checkpoints import read_checkpoint, torch_files
from mmc_plugin.checkpoints.pickles import read_outline, skip_pickle
from mmc_plugin.errors import InputError

WEIGHTS = dict(
    weight=torch.arange(6.0).view(2, 3),
    turned=torch.arange(6.0).view(2, 3).t(),
    part=torch.arange(20.0)[3:9:2],
    half=torch.randn(3, 3, generator=torch.Generator().manual_seed(0)).half(),
    brain=torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    eight=torch.tensor([1.5, -2.0]).to(torch.float8_e4m3fn),
    count=torch.tensor(7),
    yes=torch.tensor([True, False]),
    none=torch.empty(0, 4),
    parameter=torch.nn.Parameter(torch.ones(2)),
)


class Harm:
    """A pickle that runs a command when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f'touch {self.path}',)


class Call:
    """A pickle that calls a function, and gives what it returns a state."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


class Unknown:
    """A class that no checkpoint needs."""


def save(path, content, legacy=False, **kwargs):
    torch.save(content, path, _use_new_zipfile_serialization=not legacy, **kwargs)
    return str(path)


def assert_equal(found, wanted):
    """Equal dictionaries of tensors, to the bit."""
    assert list(found) == list(wanted)
    for name, tensor in wanted.items():
        assert found[name].dtype == tensor.dtype, name
        assert found[name].stride() == tensor.stride(), name
        raw = [x.detach().contiguous().flatten().view(torch.uint8) for x in (found[name], tensor)]
        assert found[name].shape == tensor.shape and torch.equal(*raw), name


@pytest.mark.parametrize('legacy', [False, True])
def test_tensors_are_those_that_torch_reads(tmp_path, legacy):
    weights = dict(WEIGHTS)
    if legacy:  # which came before this type
        del weights['eight']
    path = save(tmp_path / 'a.pth', dict(model=weights, epoch=3), legacy)
    checkpoint = read_checkpoint(path)
    assert (checkpoint.kind, checkpoint.path, checkpoint.config) == ('torch', path, None)
    assert checkpoint.content['epoch'] == 3
    assert_equal(checkpoint.content['model'], torch.load(path)['model'])
    assert_equal(checkpoint.content['model'], weights)


def test_tensors_are_mapped_from_the_disk_and_the_file_is_not_written(tmp_path):
    path = save(tmp_path / 'a.pth', dict(weight=torch.ones(1 << 16)))
    before = pathlib.Path(path).read_bytes()
    weight = read_checkpoint(path).content['weight']
    if sys.platform == 'linux':
        maps = pathlib.Path('/proc/self/maps').read_text()
        spans = [line.split() for line in maps.splitlines()]
        mapped = [span[0].split('-') for span in spans if span[-1] == path]
        assert any(int(a, 16) <= weight.data_ptr() < int(b, 16) for a, b in mapped)
    weight.zero_()
    assert pathlib.Path(path).read_bytes() == before


def test_a_run_of_mmengine_is_read_past_its_logs(tmp_path):
    buffer = HistoryBuffer([1.5, 2.5], [1, 1])
    hub = dict(log_scalars=dict(loss=buffer), runtime_info=dict(best=np.float64(3), ids=np.eye(2)))
    optimiser = dict(state={0: dict(step=torch.tensor(1.0))}, param_groups=[dict(lr=0.1)])
    meta = dict(epoch=1, cfg='a')
    content = dict(state_dict=WEIGHTS, message_hub=hub, optimizer=optimiser, meta=meta)
    path = save(tmp_path / 'a.pth', content)
    before = set(torch.serialization.get_safe_globals())
    checkpoint = read_checkpoint(path)
    assert_equal(checkpoint.content['state_dict'], WEIGHTS)
    assert checkpoint.config == meta
    assert checkpoint.content['optimizer'] == optimiser
    assert set(torch.serialization.get_safe_globals()) == before
    # Nothing else has become readable for those who load without us.
    with pytest.raises(Exception, match='Unsupported global|weights_only'):
        torch.load(path, weights_only=True)


@pytest.mark.parametrize('legacy', [False, True])
def test_settings_and_numbers_of_official_releases_need_no_flag(tmp_path, legacy):
    """DINO, iBOT, MAE and MSN save argparse's namespace, and what stands in it."""
    args = argparse.Namespace(
        arch='vit_small', patch_size=16, lr=np.float64(0.5), seed=np.int64(3), blob=b'\xff\x00',
        output_dir=pathlib.PosixPath('a'), device=torch.device('cpu'), names={'a'}, z=1j,
    )  # fmt: skip
    content = dict(teacher=WEIGHTS['weight'], args=args, loss=np.float32(0.25), epoch=np.array(3))
    checkpoint = read_checkpoint(save(tmp_path / 'a.pth', content, legacy))
    assert checkpoint.content['args'].arch == 'vit_small'
    assert checkpoint.content['args'].patch_size == 16
    assert torch.equal(checkpoint.content['teacher'], WEIGHTS['weight'])


@pytest.mark.parametrize('legacy', [False, True])
def test_a_command_is_refused_and_not_run(tmp_path, legacy):
    content = dict(model=WEIGHTS['weight'], args=Harm(tmp_path / 'harm'))
    path = save(tmp_path / 'a.pth', content, legacy)
    words = r'a\.pth is not read: it holds (posix|nt)\.system, code .* allow_pickle=True'
    with pytest.raises(ValueError, match=words):
        read_checkpoint(path)
    assert not (tmp_path / 'harm').exists()
    read_checkpoint(path, allow_pickle=True)
    assert (tmp_path / 'harm').exists()


def test_a_foreign_class_is_named_and_read_only_with_the_flag(tmp_path, monkeypatch):
    module = type(sys)('release')
    module.Settings = type('Settings', (), dict(__module__='release'))
    monkeypatch.setitem(sys.modules, 'release', module)
    path = save(tmp_path / 'a.pth', dict(model=WEIGHTS['weight'], cfg=module.Settings()))
    with pytest.raises(ValueError, match=r'it holds release\.Settings, .* \(--allow-pickle\)'):
        read_checkpoint(path)
    content = read_checkpoint(path, allow_pickle=True).content
    assert isinstance(content['cfg'], module.Settings)


def test_a_whole_module_is_read_only_with_the_flag(tmp_path):
    linear = torch.nn.Linear(2, 3)
    path = save(tmp_path / 'a.pth', linear)
    with pytest.raises(ValueError, match=r'it holds torch\.nn\.modules\.linear\.Linear, '):
        read_checkpoint(path)
    assert_equal(read_checkpoint(path, allow_pickle=True).content, linear.state_dict())


@pytest.mark.parametrize(
    'call, words',
    [
        # Harmless in the safe reader, but not in one that obeys.
        (Call(getattr, (np.ndarray, 'tofile')), 'it holds getattr of tofile'),
        (Call(getattr, (HistoryBuffer, '__init__')), 'it holds getattr of __init__'),
        (Call(getattr, (HistoryBuffer, 'mean'), dict(__code__=1)), 'damaged'),
        (Call(np.dtype, ('O', False, True)), "it holds numpy arrays of 'O'"),
        (
            Call(np.dtype, ('f8', False, True), (3, '|', None, ('a',), {'a': 1}, -1, -1, 0)),
            'it holds numpy arrays with fields',
        ),
        # These would take as much memory as they are told to, or run what torch calls storages.
        (Call(torch.FloatTensor, (1 << 40,)), 'damaged'),
        (Call(torch.FloatStorage, (1 << 40,)), 'damaged'),
        (Call(bytearray, (1 << 40,)), 'damaged'),
        (Call(torch.storage._load_from_bytes, (b'',)), 'torch.storage._load_from_bytes'),
    ],
)
def test_calls_that_would_do_harm_elsewhere_are_refused(tmp_path, call, words):
    with pytest.raises(ValueError, match=words):
        read_checkpoint(save(tmp_path / 'a.pth', dict(a=call)))


@pytest.mark.parametrize('legacy', [False, True])
def test_another_protocol_and_another_pickle_are_refused(tmp_path, legacy):
    path = save(tmp_path / 'a.pth', dict(a=torch.ones(1)), legacy, pickle_protocol=4)
    with pytest.raises(ValueError, match='it holds a pickle of protocol 4'):
        read_checkpoint(path)
    (tmp_path / 'b.pth').write_bytes(pickle.dumps(dict(a=[1.0]), protocol=2))
    with pytest.raises(ValueError, match='is a pickle that torch.save did not write'):
        read_checkpoint(tmp_path / 'b.pth')


def rewrite(path, edit, compression=zipfile.ZIP_STORED):
    """Write a zip of torch again, with ``edit(name, bytes)`` in place of its entries."""
    with zipfile.ZipFile(path) as archive:
        entries = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(path, 'w', compression) as archive:
        for name, data in entries:
            archive.writestr(name, edit(name, data))
    return path


def test_a_tensor_larger_than_its_data_is_refused(tmp_path):
    path = save(tmp_path / 'a.pth', dict(a=torch.ones(4), b=torch.ones(4)))
    assert list(read_checkpoint(rewrite(path, lambda name, data: data)).content) == ['a', 'b']
    rewrite(path, lambda name, data: data[:-4] if name.endswith('data/1') else data)
    with pytest.raises(ValueError, match='a tensor in it claims 16 bytes where 12 are'):
        read_checkpoint(path)


@pytest.mark.parametrize('legacy', [False, True])
@pytest.mark.parametrize('number', [5, 1 << 40])
def test_a_tensor_larger_than_its_storage_is_refused(tmp_path, legacy, number):
    """Sizes stand in the pickle: of 4 elements (BININT1, K) here, of many (LONG1) then."""
    path = save(tmp_path / 'a.pth', dict(a=torch.ones(4)), legacy)
    claim = pickle.dumps(number, protocol=2)[2:-1]
    size, forged = b'K\x04\x85', claim + b'\x85'  # a tuple of one number

    def edit(name, data):
        assert not name.endswith('data.pkl') or data.count(size) == 1
        return data.replace(size, forged)

    if legacy:
        content = pathlib.Path(path).read_bytes()
        pathlib.Path(path).write_bytes(edit('data.pkl', content))
    else:
        rewrite(path, edit)
    with pytest.raises(ValueError, match='damaged'):
        read_checkpoint(path)


def test_places_of_tensors_are_compared_with_storages_before_any_is_made(tmp_path):
    weight = torch.arange(12.0)
    kept = dict(all=weight, part=weight[2:9:3], last=weight[9:])
    kept['eight'] = weight.to(torch.float8_e4m3fn)
    path = save(tmp_path / 'a.pth', kept)
    with zipfile.ZipFile(path) as archive:
        pickled = archive.read('a/data.pkl')
    file = io.BytesIO(b'12' + pickled + b'3')
    file.seek(2)
    skip_pickle(file)
    assert file.tell() == len(pickled) + 2
    assert read_outline(pickled)[1] == {'0': 48, '1': 12}
    forged = pickled.replace(b'QK\x02K\x03\x85', b'QK\x02K\x04\x85')  # 2 + 3 · 3 is the last
    assert forged != pickled and read_outline(forged)
    for place, size in ((3, 4), (2, 5), (12, 1)):
        forged = pickled.replace(b'QK\x02K\x03\x85', b'QK%cK%c\x85' % (place, size))
        with pytest.raises(ValueError, match='a tensor larger than its storage'):
            read_outline(forged)


def test_a_storage_larger_than_a_legacy_file_is_refused(tmp_path):
    path = tmp_path / 'a.pth'
    save(path, dict(a=torch.ones(4)), legacy=True)
    content = path.read_bytes()
    claim = pickle.dumps(1 << 40, protocol=2)[2:-1]
    assert content.count(b'cpuq') == 1
    number = content.index(b'K\x04', content.index(b'cpuq'))
    path.write_bytes(content[:number] + claim + content[number + 2 :])
    with pytest.raises(ValueError, match=r'its tensors claim 4,398,046,511,112 bytes where'):
        read_checkpoint(path)


@pytest.mark.parametrize('legacy', [False, True])
def test_tensors_are_compared_with_their_storages_after_loading_too(tmp_path, legacy, monkeypatch):
    """If the check of the outline missed one, or was left out because the code may run."""
    content = dict(list=[dict(a=torch.zeros(1).expand(1 << 20))])
    content['list'].append(content['list'])  # which may hold itself
    path = save(tmp_path / 'a.pth', content, legacy)
    words = 'is damaged: a tensor in it is larger than its storage'
    with pytest.raises(ValueError, match=words):
        read_checkpoint(path, allow_pickle=True)
    with pytest.raises(ValueError, match='damaged'):
        read_checkpoint(path)
    monkeypatch.setattr(torch_files, 'read_outline', lambda pickled: (None, {}))
    with pytest.raises(ValueError, match=words):
        read_checkpoint(path)


def test_an_index_beyond_the_pickle_is_refused(tmp_path):
    """Python's unpickler would make a table of that many entries."""
    path = save(tmp_path / 'a.pth', dict(a=torch.ones(4)))

    def edit(name, data):
        return data[:-1] + b'r' + struct.pack('<I', 1 << 31) + b'.' if 'data.pkl' in name else data

    with pytest.raises(ValueError, match='a pickle that takes more memory than it has bytes'):
        read_checkpoint(rewrite(path, edit))


def test_compressed_entries_and_double_names_are_refused(tmp_path):
    path = save(tmp_path / 'a.pth', dict(a=torch.zeros(1 << 16)))
    rewrite(path, lambda name, data: data, zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match='is compressed inside'):
        read_checkpoint(path)
    path = save(tmp_path / 'b.pth', dict(a=torch.ones(4)))
    with zipfile.ZipFile(path, 'a') as archive:
        archive.writestr('b/DATA.PKL', b'')
    with pytest.raises(ValueError, match='two entries of one name'):
        read_checkpoint(path)


@pytest.mark.parametrize('legacy', [False, True])
def test_no_cut_of_a_file_is_read(tmp_path, legacy):
    path = tmp_path / 'a.pth'
    save(path, dict(a=torch.ones(64), b=torch.ones(64)), legacy)
    content = path.read_bytes()
    for length in {*range(0, len(content), 37), len(content) - 1}:
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r'a\.pth is (cut short|damaged|empty|a pickle that)'):
            read_checkpoint(path)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match='is cut short.*download'):
        read_checkpoint(path)


@pytest.mark.parametrize('write', [
    lambda path: shutil.make_archive(path, 'zip', path.parent, 'weights.pth'),
    lambda path: shutil.make_archive(path, 'tar', path.parent, 'weights.pth'),
    lambda path: shutil.make_archive(path, 'gztar', path.parent, 'weights.pth'),
])  # fmt: skip
def test_archives_are_left_to_the_user(tmp_path, write):
    save(tmp_path / 'weights.pth', dict(model=WEIGHTS))
    path = write(tmp_path / 'archive')
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ValueError, match='is an archive, not a checkpoint: unpack it and give'):
        read_checkpoint(path)
    assert sorted(tmp_path.iterdir()) == before


def test_torchscript_is_named(tmp_path):
    path = str(tmp_path / 'a.pt')
    torch.jit.script(torch.nn.Linear(2, 2)).save(path)
    for allow_pickle in (False, True):
        with pytest.raises(ValueError, match=r'a program of TorchScript.*torch\.jit\.load'):
            read_checkpoint(path, allow_pickle)


def test_damage_to_a_zip_file_has_one_sentence(tmp_path):
    """Each byte of its directory is turned over: zipfile raises ten kinds of error for that."""
    path = save(tmp_path / 'a.pth', dict(model=dict(w=torch.ones(2))))
    whole = pathlib.Path(path).read_bytes()
    start = whole.index(b'PK\x01\x02')
    kinds = set()
    for place in range(start, len(whole)):
        for mask in (0x01, 0xFF):
            content = bytearray(whole)
            content[place] ^= mask
            pathlib.Path(path).write_bytes(content)
            for allow in (False, True):
                try:
                    read_checkpoint(path, allow_pickle=allow)
                except InputError as error:
                    assert path in str(error) and '\n' not in str(error)
                    kinds.add(str(error).partition(':')[0])
    assert f'{path} is cut short or damaged' in kinds


def test_number_of_tensors_is_bounded(tmp_path):
    many = {str(number): torch.empty(0) for number in range(20_001)}
    for legacy in (False, True):
        path = save(tmp_path / 'a.pth', many, legacy)
        with pytest.raises(InputError, match='holds 20,0.* tensors, more than the 20,000'):
            read_checkpoint(path)
