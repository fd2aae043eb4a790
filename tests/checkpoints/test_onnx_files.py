"""Weights of ONNX files come from their own folder only, and get their names and shapes back."""

import os
import re
import sys

import numpy as np
import onnx
import pytest
import torch
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch import nn

from mmc_plugin.checkpoints import file_hash, onnx_files, read_checkpoint
from mmc_plugin.checkpoints.onnx_files import module_of, name_weights
from mmc_plugin.errors import InputError

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


def test_weights_stay_mapped_from_the_file(tmp_path):
    """Those that lie at a multiple of their size; the others are copied, and none is written."""
    names = ['t' * length for length in range(1, 9)]
    path = save(tmp_path / 'a.onnx', *(numpy_helper.from_array(FLOATS, name) for name in names))
    content = read_checkpoint(path).content
    with open('/proc/self/maps') as file:
        ranges = [line.split()[0].split('-') for line in file if line.rstrip().endswith(path)]
    mapped = [
        any(int(low, 16) <= content[name].data_ptr() < int(high, 16) for low, high in ranges)
        for name in names
    ]
    data = (tmp_path / 'a.onnx').read_bytes()
    assert 0 < sum(mapped) < 8
    for name in names:
        content[name].zero_()
    assert (tmp_path / 'a.onnx').read_bytes() == data


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


def test_very_many_fields_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_files, '_MOST_FIELDS', 20)
    tensors = [numpy_helper.from_array(FLOATS, f't{i}') for i in range(30)]
    with pytest.raises(ValueError, match=r'a\.onnx is cut short, damaged or no ONNX model \('):
        read_checkpoint(save(tmp_path / 'a.onnx', *tensors))


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


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(6)
        self.fc1 = nn.Linear(6, 12)
        self.fc2 = nn.Linear(12, 6, bias=False)

    def forward(self, x):
        return x + self.fc2(self.fc1(self.norm(x)).relu())


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 6, 2, stride=2)
        self.token = nn.Parameter(torch.randn(1, 1, 6))
        self.blocks = nn.Sequential(Block(), Block())
        self.list = nn.ModuleList([Block()])

    def forward(self, image):
        x = self.patch(image).flatten(2).transpose(1, 2)
        return self.list[0](self.blocks(x + self.token))


@pytest.mark.parametrize('equal', [False, True])
@pytest.mark.parametrize('dynamo', [False, True])
def test_a_network_of_linear_layers(tmp_path, dynamo, equal):
    """``equal``: as layers are at the start; the exporters write equal parameters once."""
    torch.manual_seed(0)
    model = Net().eval()
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.LayerNorm) and module.bias is not None:
            nn.init.zeros_(module.bias) if equal else nn.init.normal_(module.bias)
        if isinstance(module, nn.LayerNorm) and not equal:
            nn.init.normal_(module.weight)
    path = str(tmp_path / 'a.onnx')
    images = torch.ones(1, 3, 4, 4)
    torch.onnx.export(model, (images,), path, dynamo=dynamo, external_data=False, verbose=False)
    content = read_checkpoint(path).content
    for name, value in model.state_dict().items():
        assert torch.equal(content[name], value), name
    matrices = [name for name, value in content.items() if value.dim() == 2]
    assert sorted(matrices) == sorted(k for k, v in model.state_dict().items() if v.dim() == 2)


@pytest.mark.parametrize(
    'node, module',
    [
        (dict(name='/blocks/blocks.0/attn/qkv/MatMul'), 'blocks.0.attn.qkv'),
        (dict(name='/encoder/layer.0/dense/MatMul'), 'encoder.layer.0.dense'),
        (dict(name='/a/a.0/a.0.1/MatMul'), 'a.0.1'),
        (dict(name='/MatMul'), None),
        (dict(name='MatMul_12'), None),
        (dict(scopes="['', 'blocks.0', 'blocks.0.fc1', 'linear']"), 'blocks.0.fc1'),
        (dict(scopes="['', 'linear']"), None),
        (dict(scopes='[]'), None),
    ],
)
def test_modules_of_nodes(node, module):
    proto = NodeProto(name=node.get('name', ''))
    if 'scopes' in node:
        proto.metadata_props.add(key='pkg.torch.onnx.name_scopes', value=node['scopes'])
    assert module_of(proto) == module


@pytest.mark.parametrize('prefix', ['', 'backbone.'])
def test_split_positions_are_joined(prefix):
    """Exporters leave the slices of Hugging Face models under names of their own."""
    token, positions, rest = (torch.full((1, n, 4), float(n)) for n in (1, 1, 9))
    named = {f'{prefix}embeddings.cls_token': token}
    constants = {'onnx::Reshape_7': rest, 'onnx::Concat_5': positions, 'val_1': rest[0]}
    found = name_weights(named | constants, [])
    joined = torch.cat([positions, rest], dim=1)
    assert torch.equal(found.pop(f'{prefix}embeddings.position_embeddings'), joined)
    assert list(found) == list(named)
    unclear = {'onnx::Reshape_7': rest, 'onnx::Reshape_5': rest}
    assert list(name_weights(named | unclear, [])) == list(named)


def test_constants_that_exporters_made_up_are_left_out():
    kept = ('pos_embed', 'norm.weight', 'val_x')
    made_up = ('onnx::MatMul_12', 'val_3', '/blocks/Constant_output_0')
    assert tuple(name_weights(dict.fromkeys(kept + made_up, torch.ones(1)), [])) == kept


def test_a_name_with_a_nul_in_it_is_refused(tmp_path):
    tensor = onnx.TensorProto(name='w', data_type=1, dims=[1], data_location=1)
    entry = tensor.external_data.add()
    entry.key, entry.value = 'location', 'a\0b'
    model = onnx.helper.make_model(onnx.helper.make_graph([], 'g', [], [], [tensor]))
    (tmp_path / 'a.onnx').write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=r'it names weights outside its folder, in .a\\x00b'):
        read_checkpoint(tmp_path / 'a.onnx')
