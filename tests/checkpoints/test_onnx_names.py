"""Parameters of exported models get their names and shapes back."""

import pytest
import torch
from onnx import NodeProto
from torch import nn

from mmc_plugin.checkpoints import read_checkpoint
from mmc_plugin.checkpoints.onnx_names import module_of


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
