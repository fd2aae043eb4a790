"""The converters, run as a user runs them."""

import hashlib
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmc_plugin.apis import load_backbone

TOOLS = Path(__file__).resolve().parents[2] / 'tools' / 'model_converters'
CFG = """
model = dict(
    type='MMC',
    backbone=dict(
        type='VisionTransformer',
        arch=dict(embed_dims=64, num_layers=2, num_heads=2, feedforward_channels=96),
        img_size=32, patch_size=8, norm_cfg=dict(type='LN', eps=1e-6)),
    data_preprocessor=dict(type='ViewDataPreprocessor', mean=[100, 110, 120], std=[50, 55, 60]))
"""


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory) -> Path:
    """A run's checkpoint with a student and a teacher."""
    from mmpretrain.models import VisionTransformer

    arch = dict(embed_dims=64, num_layers=2, num_heads=2, feedforward_channels=96)
    weights = {}
    for prefix in ('backbone.', 'teacher.backbone.'):
        model = VisionTransformer(arch, img_size=32, patch_size=8)
        for parameter in model.parameters():
            parameter.data = 0.3 * torch.randn_like(parameter)
        weights |= {prefix + name: value for name, value in model.state_dict().items()}
    path = tmp_path_factory.mktemp('a run') / 'epoch_7.pth'
    optimizer = dict(state={0: dict(exp_avg=torch.zeros(9))}, param_groups=[])
    torch.save(dict(meta=dict(cfg=CFG), state_dict=weights, optimizer=optimizer), path)
    return path


@pytest.fixture
def tool(monkeypatch, capsys):
    """Runs a tool in this process; gives its exit code, output and errors."""

    def run(name, *arguments):
        monkeypatch.setattr(sys, 'argv', [name, *map(str, arguments)])
        code = 0
        try:
            runpy.run_path(str(TOOLS / f'{name}.py'), run_name='__main__')
        except SystemExit as stop:
            code = stop.code
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.mark.parametrize('which', ['teacher', 'student'])
def test_export(which, tool, checkpoint, tmp_path):
    target = tmp_path / 'new' / 'mmc.safetensors'
    code, out, _ = tool(
        'export', checkpoint, target, '--to', 'safetensors', '--which', which, '--img-size', 24, 40
    )
    assert code == 0 and f'wrote {target}' in out
    card = Path(f'{target}.md').read_text()
    assert hashlib.sha256(checkpoint.read_bytes()).hexdigest() in card and '24×40' in card
    images = torch.randn(2, 3, 24, 40)
    expected = load_backbone(checkpoint, which=which, img_size=(24, 40))(images)[0]
    torch.testing.assert_close(load_backbone(target)(images)[0], expected, atol=1e-5, rtol=0)


def test_config_is_printed(tool, checkpoint, tmp_path):
    code, out, _ = tool('export', checkpoint, tmp_path / 'a.pth', '--to', 'mmpretrain')
    assert code == 0
    snippet = re.search(r'^backbone=(dict\(.+\))$', out, re.MULTILINE)[1]
    backbone = eval(snippet)
    assert backbone['init_cfg'] == dict(type='Pretrained', checkpoint='a.pth')
    assert backbone['arch']['num_heads'] == 2


def test_refusals_are_one_sentence(tool, checkpoint, tmp_path, monkeypatch):
    (tmp_path / 'there.onnx').touch()
    (tmp_path / 'page.pth').write_text('<!doctype html><html></html>')
    cases = [
        (('export', checkpoint, tmp_path / 'there.onnx', '--to', 'onnx'), '--force'),
        (('export', checkpoint, tmp_path / 'a.bin', '--to', 'onnx'), 'end with .onnx'),
        (('export', tmp_path / 'no.pth', tmp_path / 'a.onnx', '--to', 'onnx'), 'does not exist'),
        (('export', tmp_path / 'page.pth', tmp_path / 'a.pt', '--to', 'torchscript'), 'web page'),
        (
            ('export', checkpoint, tmp_path / 'hf', '--to', 'huggingface', '--img-size', 24, 40),
            '--img-size 40',
        ),
        (('export', checkpoint, tmp_path / 'a.pth', '--to', 'timm'), 'install timm'),
        (('publish_model', tmp_path / 'page.pth', tmp_path / 'b'), 'web page'),
    ]
    monkeypatch.setitem(sys.modules, 'timm', None)
    before = sorted(tmp_path.iterdir())
    for arguments, words in cases:
        code, _, err = tool(*arguments)
        lines = [line for line in err.splitlines() if line.startswith('error: ')]
        assert code == 2 and len(lines) == 1 and words in lines[0], err
        assert 'Traceback' not in err
    assert sorted(tmp_path.iterdir()) == before


def test_publish(tool, checkpoint, tmp_path):
    code, out, _ = tool('publish_model', checkpoint, tmp_path / 'mmc.pth')
    path = Path(re.search(r'^wrote (.+)$', out, re.MULTILINE)[1])
    assert code == 0 and re.fullmatch(r'mmc-[0-9a-f]{8}\.pth', path.name)
    assert set(torch.load(path, weights_only=True)) == {'meta', 'state_dict'}


def test_command_line(checkpoint, tmp_path):
    """As a process of its own, with nothing imported before."""
    target = tmp_path / 'a.pt'
    subprocess.run(
        [sys.executable, TOOLS / 'export.py', checkpoint, target, '--to', 'torchscript'],
        check=True, capture_output=True,
        env={**os.environ, 'PYTHONPATH': str(TOOLS.parents[1])},
    )  # fmt: skip
    images = torch.randn(3, 3, 40, 24)
    cls, patches = torch.jit.load(target)(images)
    expected = load_backbone(checkpoint)(images)[0]
    torch.testing.assert_close(cls, expected[:, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(patches, expected[:, 1:], atol=1e-5, rtol=0)
