"""Weights that timm makes or keeps."""

import huggingface_hub
import pytest
import timm
import torch
from timm.models import save_for_hf

from mmc_plugin.checkpoints import read_checkpoint


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    model = timm.create_model('test_vit', img_size=32, num_classes=3)
    save_for_hf(model, tmp_path, model_args=dict(img_size=32), safe_serialization=True)
    return tmp_path, model


def test_a_model_of_timm(folder):
    path, model = folder
    checkpoint = read_checkpoint(f'timm:local-dir:{path}')
    assert (checkpoint.kind, checkpoint.files) == ('timm', ())
    assert list(checkpoint.content) == list(model.state_dict())
    assert all(torch.equal(checkpoint.content[k], v) for k, v in model.state_dict().items())
    assert checkpoint.config['num_heads'] == model.blocks[0].attn.num_heads
    assert checkpoint.config['architecture'] == 'test_vit'
    assert tuple(checkpoint.config['mean']) == tuple(model.pretrained_cfg['mean'])
    assert len(checkpoint.sha256) == 64


def test_a_folder_of_timm(folder):
    path, model = folder
    checkpoint = read_checkpoint(path)
    assert checkpoint.kind == 'timm'
    assert all(torch.equal(checkpoint.content[k], v) for k, v in model.state_dict().items())
    assert checkpoint.config['architecture'] == 'test_vit'
    assert tuple(checkpoint.config['mean']) == tuple(model.pretrained_cfg['mean'])


def test_sentences(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r'timm has no pretrained weights called vit_of_nobody: '):
        read_checkpoint('timm:vit_of_nobody')
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_OFFLINE', True)
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_CACHE', str(tmp_path))
    words = r'timm:test_vit could not be loaded .*without a network, download'
    with pytest.raises(ConnectionError, match=words):
        read_checkpoint('timm:test_vit')
