"""Weights of ONNX files come from their own folder only, and what is damaged has its sentence."""

import os
import re
import sys

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from mmc_plugin.checkpoints import file_hash, read_checkpoint

RNG = np.random.RandomState(0)
FLOATS = RNG.randn(3, 5).astype(np.float32)


def model_of(*tensors):
    graph = helper.make_graph([helper.make_node('Identity', ['x'], ['y'])], 'g', [], [], tensors)
    return helper.make_model(graph)


def save(path, *tensors, **metadata):
    model = model_of(*tensors)
    helper.set_model_props(model, metadata)
    path.write_bytes(model.SerializeToString())
    return str(path)


ARRAYS = dict(
    raw=FLOATS, half=FLOATS.astype(np.float16), count=np.int64([-1, 1 << 40]),
    bytes=np.int8([-7, 7, 1]), yes=np.bool_([1, 0]), scalar=np.float32(2.5).reshape(()),
    empty=np.zeros((0, 4), np.float32),
)  # fmt: skip


def test_weights_and_metadata(tmp_path):
    tensors = [numpy_helper.from_array(array, name) for name, array in ARRAYS.items()]
    tensors.append(helper.make_tensor('list', TensorProto.FLOAT, FLOATS.shape, FLOATS.ravel()))
    path = save(tmp_path / 'a.bin', *tensors, mean='1, 2', note='')  # known by its content
    checkpoint = read_checkpoint(path)
    assert checkpoint.kind == 'onnx' and checkpoint.config == dict(mean='1, 2', note='')
    assert list(checkpoint.content) == [*ARRAYS, 'list']
    for name, wanted in (ARRAYS | dict(list=FLOATS)).items():
        found = checkpoint.content[name].numpy()
        assert found.dtype == wanted.dtype and found.shape == wanted.shape
        np.testing.assert_array_equal(found, wanted)


def test_bfloat16(tmp_path):
    values = torch.tensor([1.5, -2, 1e30]).bfloat16()
    raw = TensorProto(name='raw', data_type=TensorProto.BFLOAT16, dims=[3])
    raw.raw_data = values.view(torch.uint8).numpy().tobytes()
    listed = helper.make_tensor('list', TensorProto.BFLOAT16, (3,), values.float().tolist())
    content = read_checkpoint(save(tmp_path / 'a.onnx', raw, listed)).content
    assert torch.equal(content['raw'], values) and torch.equal(content['list'], values)


def test_files_beside_it(tmp_path):
    arrays = {f't{i}': RNG.randn(40, 9 + i).astype(np.float32) for i in range(3)}
    path = str(tmp_path / 'a.onnx')
    model = model_of(*(numpy_helper.from_array(value, name) for name, value in arrays.items()))
    onnx.save(model, path, save_as_external_data=True, location='a.data', size_threshold=0)
    checkpoint = read_checkpoint(path)
    for name, value in arrays.items():
        np.testing.assert_array_equal(checkpoint.content[name].numpy(), value)
    assert [os.path.basename(file) for file in checkpoint.files] == ['a.onnx', 'a.data']
    whole = (tmp_path / 'a.data').read_bytes()
    before = file_hash(path)
    assert before == checkpoint.sha256
    (tmp_path / 'a.data').write_bytes(whole[::-1])  # other weights, the same graph
    assert before != file_hash(path) == read_checkpoint(path).sha256
    (tmp_path / 'a.data').write_bytes(whole[:-1])
    with pytest.raises(ValueError, match=r'a\.onnx is cut short'):
        read_checkpoint(path)
    (tmp_path / 'a.data').unlink()
    with pytest.raises(FileNotFoundError, match=r'a\.onnx needs a\.data beside it'):
        read_checkpoint(path)


def external(name, **entries):
    tensor = TensorProto(name=name, data_type=1, dims=[2], data_location=TensorProto.EXTERNAL)
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def test_nothing_outside_its_folder_is_read(tmp_path):
    folder = tmp_path / 'model'
    folder.mkdir()
    secret = tmp_path / 'secret'
    secret.write_bytes(bytes(8))
    (folder / 'link').symlink_to(secret)
    for location in ('../secret', str(secret), 'link', '', '.', 'a/../../secret', 'a\0b'):
        path = save(folder / 'a.onnx', external('w', location=location))
        with pytest.raises(ValueError, match='names weights outside its folder'):
            read_checkpoint(path)
        with pytest.raises(ValueError, match='names weights outside its folder'):
            file_hash(path)
    (folder / 'inside').write_bytes(bytes(8))
    good = dict(location='inside', offset='0', length='8')
    assert read_checkpoint(save(folder / 'a.onnx', external('w', **good))).content['w'].numel() == 2
    for bad in (dict(offset='4'), dict(offset='-8'), dict(length='800'), dict(length='x'),
                dict(length='4'), dict(offset='99', length='-99')):  # fmt: skip
        path = save(folder / 'a.onnx', external('w', **{**good, **bad}))
        with pytest.raises(ValueError, match='a.onnx is cut short, damaged'):
            read_checkpoint(path)


@pytest.mark.parametrize(
    'dims', [[3, 6], [1 << 40], [-3, -5], [1 << 62, 1 << 62, 0], [15, -1], [-1]]
)
def test_shapes_that_are_not_those_of_the_data_are_refused(tmp_path, dims):
    tensor = TensorProto(name='w', data_type=1, dims=dims, raw_data=FLOATS.tobytes())
    with pytest.raises(ValueError, match=r'a\.onnx is cut short, damaged or no ONNX model \('):
        read_checkpoint(save(tmp_path / 'a.onnx', tensor))
    tensor = TensorProto(name='w', data_type=7, dims=dims, int64_data=[1, 2])
    with pytest.raises(ValueError, match=r'a\.onnx is cut short, damaged or no ONNX model \('):
        read_checkpoint(save(tmp_path / 'a.onnx', tensor))


def test_texts_are_no_weights(tmp_path):
    tensor = TensorProto(name='w', data_type=8, dims=[1], string_data=[b'a'])
    with pytest.raises(ValueError, match='damaged or no ONNX model'):
        read_checkpoint(save(tmp_path / 'a.onnx', tensor))


def test_no_cut_of_a_file_is_read(tmp_path):
    path = tmp_path / 'a.onnx'
    save(path, *(numpy_helper.from_array(array, name) for name, array in ARRAYS.items()), note='a')
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match='a.onnx is (cut short|empty|no ONNX|a text)'):
            read_checkpoint(path)
    rng = np.random.RandomState(0)
    for _ in range(300):  # changed bytes: read or refused, but never anything else
        broken = bytearray(content)
        for place in rng.randint(0, len(content), 3):
            broken[place] = rng.randint(256)
        path.write_bytes(broken)
        try:
            read_checkpoint(path)
        except ValueError as error:
            assert re.match(r'.*a\.onnx is ', str(error)) and '\n' not in str(error)
        except FileNotFoundError as error:
            assert 'beside it' in str(error)


def test_without_onnx_the_way_out_is_told(tmp_path, monkeypatch):
    path = save(tmp_path / 'a.onnx', numpy_helper.from_array(FLOATS, 'w'))
    monkeypatch.setitem(sys.modules, 'onnx', None)
    with pytest.raises(ImportError, match=r'a\.onnx is an ONNX file: pip install onnx'):
        read_checkpoint(path)
