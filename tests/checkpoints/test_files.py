"""Each kind of file is known by its content, and each that is no checkpoint has its sentence."""

import hashlib
import json
import os

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mmc_plugin.checkpoints import Checkpoint, file_hash, read_checkpoint
from mmc_plugin.checkpoints.files import refuse_code
from mmc_plugin.errors import InputError

WEIGHTS = {
    'weight': torch.arange(6.0).view(2, 3),
    'half': torch.tensor([1.5, 2]).half(),
    'brain': torch.tensor([1.5, 2]).bfloat16(),
    'count': torch.tensor(3),
    'none': torch.empty(0, 4),
}


def test_safetensors_are_those_of_its_own_reader(tmp_path):
    path = str(tmp_path / 'a.pth')  # the content decides, not the name
    save_file(WEIGHTS, path, metadata=dict(format='pt', mean='[1, 2, 3]'))
    checkpoint = read_checkpoint(path)
    assert checkpoint.kind == 'safetensors'
    assert checkpoint.config == dict(format='pt', mean='[1, 2, 3]')
    wanted = load_file(path)
    assert set(checkpoint.content) == set(wanted) == set(WEIGHTS)
    for name, tensor in wanted.items():
        assert checkpoint.content[name].dtype == tensor.dtype
        assert torch.equal(checkpoint.content[name], tensor)


@pytest.mark.parametrize('length', [0x180, 0x108, 0x8B1F])
def test_the_length_in_safetensors_is_not_taken_for_another_kind(tmp_path, length):
    text = json.dumps({'a': dict(dtype='F32', shape=[1], data_offsets=[0, 4])}).encode()
    path = tmp_path / 'a.bin'
    path.write_bytes(length.to_bytes(8, 'little') + text.ljust(length) + bytes(4))
    assert read_checkpoint(path).content['a'].item() == load_file(path)['a'].item() == 0


def header(entries, data=b''):
    text = json.dumps(entries).encode()
    return len(text).to_bytes(8, 'little') + text + data


@pytest.mark.parametrize(
    'content, words',
    [
        ((1 << 40).to_bytes(8, 'little') + b'{}', 'cut short or damaged .*header'),
        (header({'a': dict(dtype='F32', shape=[4], data_offsets=[0, 16])}, bytes(12)), 'cut short'),
        (header({'a': dict(dtype='F32', shape=[9], data_offsets=[0, 16])}, bytes(16)), 'damaged'),
        (header({'a': dict(dtype='F32', shape=[4], data_offsets=[0, 16])}, bytes(20)), 'damaged'),
        (
            header({'a': dict(dtype='F32', shape=[1 << 62, 8], data_offsets=[0, 16])}, bytes(16)),
            'damaged',
        ),
        (b'\x09' + bytes(7) + b'{"a": [1}', 'damaged'),
    ],
)
def test_damaged_safetensors(tmp_path, content, words):
    path = tmp_path / 'a.safetensors'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf'a\.safetensors is .*{words}'):
        read_checkpoint(path)


def test_no_cut_of_safetensors_is_read(tmp_path):
    path = tmp_path / 'a.safetensors'
    save_file(WEIGHTS, path)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r'is (empty|cut short|damaged|no checkpoint|a text)'):
            read_checkpoint(path)


@pytest.mark.parametrize(
    'content, words',
    [
        (b'', 'is empty: download'),
        (b'\n <!DOCTYPE html><html><body>Not found', 'is a web page, not a checkpoint'),
        (b'\xef\xbb\xbf<html lang="en">', 'is a web page'),
        (
            b'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2\nsize 12345\n',
            'git lfs pull',
        ),
        (b'{"error": "gated"}\n', 'is a text file, not a checkpoint'),
        (b'cos\nsystem\n(S"touch harm"\ntR.', 'is a text file, not a checkpoint'),
        (b'\x89HDF\r\n\x1a\n' + bytes(9), 'holds weights of TensorFlow or Keras'),
        (b'BZh91AY&SY' + bytes(20), 'is an archive, not a checkpoint: unpack it and give what is'),
        (b'\xfd7zXZ\0' + bytes(20), 'is an archive, not a checkpoint: unpack it and give what is'),
        (b'PK\x03\x04' + bytes(40), 'is cut short or damaged: download'),
        (bytes(range(128, 256)), 'is no checkpoint of a known kind'),
        (b'\x93NUMPY' + bytes(200), 'is no checkpoint of a known kind'),
    ],
)
@pytest.mark.parametrize('name', ['a.pth', 'a.safetensors', 'a.bin'])
def test_what_is_no_checkpoint_has_its_sentence(tmp_path, name, content, words, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words) as error:
        read_checkpoint(path)
    assert str(path) in str(error.value) and '\n' not in str(error.value)
    assert [found.name for found in tmp_path.iterdir()] == [name]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'the checkpoint .*gone\.pth does not exist'):
        read_checkpoint(str(tmp_path / 'gone.pth'))
    with pytest.raises(FileNotFoundError, match=r'gone\.pth does not exist'):
        refuse_code(str(tmp_path / 'gone.pth'))


def test_what_is_not_a_dictionary_is_named(tmp_path):
    torch.save([torch.ones(1)], tmp_path / 'a.pth')
    with pytest.raises(ValueError, match='holds a list, not the weights of a model'):
        read_checkpoint(tmp_path / 'a.pth')


def test_only_files_of_torch_are_let_through_to_mmengine(tmp_path):
    torch.save(dict(state_dict=WEIGHTS, meta={}), tmp_path / 'a.pth')
    refuse_code(str(tmp_path / 'a.pth'))
    save_file(WEIGHTS, tmp_path / 'a.safetensors')
    with pytest.raises(ValueError, match='is a safetensors file, where one of torch.save is'):
        refuse_code(str(tmp_path / 'a.safetensors'))
    # torch also takes archives of its first years, and pickles from before protocols had numbers.
    for content in (b'cos\nsystem\n(S"true"\ntR.', b'(lp0\n.', bytes(1024)):
        (tmp_path / 'a.pth').write_bytes(content)
        with pytest.raises(ValueError):
            refuse_code(str(tmp_path / 'a.pth'))


def test_hashes(tmp_path):
    torch.save(WEIGHTS, tmp_path / 'pytorch_model.bin')
    save_file(WEIGHTS, tmp_path / 'model.safetensors')
    one, two = (tmp_path / name for name in ('pytorch_model.bin', 'model.safetensors'))
    wanted = hashlib.sha256(one.read_bytes()).hexdigest()
    assert file_hash(str(one)) == read_checkpoint(one).sha256 == wanted
    assert file_hash(str(tmp_path)) == file_hash(two) != wanted
    two.unlink()
    assert file_hash(str(tmp_path)) == wanted
    one.unlink()
    with pytest.raises(FileNotFoundError, match='holds no weights'):
        file_hash(str(tmp_path))
    with pytest.raises(FileNotFoundError, match='does not exist'):
        file_hash(str(two))


def test_weights_without_a_file_are_hashed_by_name_type_shape_and_bits():
    def sha256(**content):
        return Checkpoint('timm:a', 'timm', content).sha256

    ones = torch.ones(2, 3)
    assert sha256(a=ones, b=ones * 2) == sha256(b=ones * 2, a=ones.t().clone().t())
    different = [dict(a=ones), dict(b=ones), dict(a=ones.t()), dict(a=ones.double()),
                 dict(a=ones * np.nextafter(np.float32(1), np.float32(2)))]  # fmt: skip
    assert len({sha256(**content) for content in different}) == len(different)


def test_what_is_no_file_is_named_before_it_is_opened(tmp_path):
    pipe, folder = tmp_path / 'pipe.bin', tmp_path / 'd'
    os.mkfifo(pipe)
    (folder / 'model.safetensors').mkdir(parents=True)
    (folder / 'config.json').write_text('{}')
    for read in (read_checkpoint, file_hash, refuse_code):
        with pytest.raises(InputError, match=r'pipe\.bin is a pipe, where a file is needed'):
            read(str(pipe))
        with pytest.raises(InputError, match='/dev/zero is a device'):
            read('/dev/zero')
        with pytest.raises(FileNotFoundError, match='does not exist'):
            read('a\0b')
    with pytest.raises(InputError, match=r'model\.safetensors is a folder'):
        read_checkpoint(folder)
    with pytest.raises(InputError, match=r'model\.safetensors is a folder'):
        file_hash(folder)
    with pytest.raises(InputError, match='/proc/self/mem is empty'):  # and kmsg, which waits
        read_checkpoint('/proc/self/mem')
    (folder / 'config.json').unlink()
    os.mkfifo(folder / 'config.json')
    with pytest.raises(InputError, match=r'config\.json is a pipe'):
        read_checkpoint(folder)


def test_a_file_of_too_many_tensors_is_not_read(tmp_path):
    path = tmp_path / 'a.safetensors'
    path.write_bytes(
        header({f't{i}': dict(dtype='F32', shape=[0], data_offsets=[0, 0]) for i in range(20_001)})
    )
    with pytest.raises(InputError, match='holds 20,001 tensors, more than the 20,000'):
        read_checkpoint(path)
