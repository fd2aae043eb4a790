"""Initialisers of ONNX files are those of its own package, and no size is believed."""

import os
import re

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from mmc_plugin.checkpoints import read_checkpoint
from mmc_plugin.checkpoints.onnx_files import read_onnx

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


TENSORS = [
    numpy_helper.from_array(array, f'raw_{array.dtype}')
    for array in (
        FLOATS, FLOATS.astype(np.float16), FLOATS.astype(np.float64), np.int64([-1, 1 << 40]),
        np.int32([-7, 8]), np.int16([-7]), np.int8([-7, 7, 1]), np.uint8([200]), np.bool_([1, 0]),
    )
] + [
    helper.make_tensor('list_float', TensorProto.FLOAT, FLOATS.shape, FLOATS.ravel()),
    helper.make_tensor('list_double', TensorProto.DOUBLE, (2,), [0.1, -2]),
    helper.make_tensor('list_half', TensorProto.FLOAT16, (2, 2), [1.5, -2, 0, 3]),
    helper.make_tensor('list_int64', TensorProto.INT64, (3,), [-1, 0, 1 << 50]),
    helper.make_tensor('list_int32', TensorProto.INT32, (2,), [-5, 5]),
    helper.make_tensor('list_bool', TensorProto.BOOL, (2,), [True, False]),
    numpy_helper.from_array(np.float32(2.5).reshape(()), 'scalar'),
    numpy_helper.from_array(np.zeros((0, 4), np.float32), 'empty'),
]  # fmt: skip


def test_initialisers_are_those_of_onnx(tmp_path):
    path = save(tmp_path / 'a.bin', *TENSORS, mean='1, 2', note='')  # known by its content
    checkpoint = read_checkpoint(path)
    assert checkpoint.kind == 'onnx' and checkpoint.config == dict(mean='1, 2', note='')
    assert list(checkpoint.content) == [tensor.name for tensor in TENSORS]
    for tensor in onnx.load(path).graph.initializer:
        wanted = numpy_helper.to_array(tensor)
        assert checkpoint.content[tensor.name].data_ptr() % wanted.itemsize == 0
        found = checkpoint.content[tensor.name].numpy()
        assert found.dtype == wanted.dtype and found.shape == wanted.shape
        np.testing.assert_array_equal(found, wanted)


def test_bfloat16(tmp_path):
    values = torch.tensor([1.5, -2, 1e30]).bfloat16()
    raw = TensorProto(name='raw', data_type=TensorProto.BFLOAT16, dims=[3])
    raw.raw_data = values.view(torch.uint8).numpy().tobytes()
    listed = helper.make_tensor('list', TensorProto.BFLOAT16, (3,), values.float().tolist())
    content = read_onnx(save(tmp_path / 'a.onnx', raw, listed)).content
    assert torch.equal(content['raw'], values) and torch.equal(content['list'], values)


@pytest.mark.parametrize('threshold', [0, 1024])
def test_files_beside_it(tmp_path, threshold):
    arrays = {f't{i}': RNG.randn(40, 9 + i).astype(np.float32) for i in range(3)}
    path = str(tmp_path / 'a.onnx')
    model = model_of(*(numpy_helper.from_array(value, name) for name, value in arrays.items()))
    onnx.save(model, path, save_as_external_data=True, location='a.data', size_threshold=threshold)
    checkpoint = read_checkpoint(path)
    for name, value in arrays.items():
        np.testing.assert_array_equal(checkpoint.content[name].numpy(), value)
    assert [os.path.basename(file) for file in checkpoint.files] == ['a.onnx', 'a.data']
    (tmp_path / 'a.data').write_bytes((tmp_path / 'a.data').read_bytes()[:-1])
    with pytest.raises(ValueError, match=r'a\.data is cut short'):
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
    for location in ('../secret', str(secret), 'link', '', 'a/../../secret'):
        path = save(folder / 'a.onnx', external('w', location=location))
        with pytest.raises(ValueError, match='names weights outside its folder'):
            read_checkpoint(path)
    (folder / 'inside').write_bytes(bytes(8))
    good = dict(location='inside', offset='0', length='8')
    assert read_checkpoint(save(folder / 'a.onnx', external('w', **good))).content['w'].numel() == 2
    for bad in (dict(offset='4'), dict(offset='-8'), dict(length='800'), dict(length='x'),
                dict(length='4'), dict(offset='99', length='-99')):  # fmt: skip
        path = save(folder / 'a.onnx', external('w', **{**good, **bad}))
        with pytest.raises(ValueError, match='cut short|damaged'):
            read_checkpoint(path)


def test_claims_are_compared_with_the_data(tmp_path):
    for dims in ([3, 6], [1 << 40], [-3, -5], [1 << 62, 1 << 62, 0], [15, -1]):
        tensor = TensorProto(name='w', data_type=1, dims=dims, raw_data=FLOATS.tobytes())
        with pytest.raises(ValueError, match=r'is damaged or no ONNX model \(w claims'):
            read_checkpoint(save(tmp_path / 'a.onnx', tensor))
    tensor = TensorProto(name='w', data_type=7, dims=[1 << 40], int64_data=[1, 2])
    with pytest.raises(ValueError, match='w has 2 numbers for the shape'):
        read_checkpoint(save(tmp_path / 'a.onnx', tensor))
    tensor = TensorProto(name='w', data_type=8, dims=[1], string_data=[b'a'])
    with pytest.raises(ValueError, match='w is of the type 8'):
        read_checkpoint(save(tmp_path / 'a.onnx', tensor))


def test_no_cut_of_a_file_is_read(tmp_path):
    path = tmp_path / 'a.onnx'
    save(path, *TENSORS)
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match='a.onnx is (damaged|empty|no ONNX|a text)'):
            read_checkpoint(path)
    rng = np.random.RandomState(0)
    for _ in range(300):  # changed bytes: read or refused, but never anything else
        broken = bytearray(content)
        for place in rng.randint(0, len(content), 3):
            broken[place] = rng.randint(256)
        path.write_bytes(broken)
        try:
            read_onnx(str(path))
        except ValueError as error:
            assert re.match(r'.*a\.onnx is ', str(error))
        except FileNotFoundError as error:
            assert 'beside it' in str(error)
