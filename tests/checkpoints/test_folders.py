"""Folders of Hugging Face, its hub, and the weights of timm."""

import hashlib
import json
import os

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import save_for_hf

from mmc_plugin.apis import load_backbone
from mmc_plugin.checkpoints import file_hash, read_checkpoint
from mmc_plugin.checkpoints.export import export_backbone
from mmc_plugin.evaluation.report import source_hash, write_report

WEIGHTS = {f'layer.{i}.weight': torch.arange(12.0).view(3, 4) + i for i in range(6)}
CONFIG = dict(model_type='vit', hidden_size=4, num_attention_heads=2)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'config.json').write_text(json.dumps(CONFIG))
    return tmp_path


def assert_read(source, **config):
    checkpoint = read_checkpoint(source)
    assert (checkpoint.kind, checkpoint.path) == ('huggingface', str(source))
    assert checkpoint.config == {**CONFIG, **config}
    assert set(checkpoint.content) == set(WEIGHTS)
    assert all(torch.equal(checkpoint.content[name], value) for name, value in WEIGHTS.items())
    return checkpoint


@pytest.mark.parametrize('legacy', [False, True])
def test_one_file_of_either_kind(folder, legacy):
    torch.save(WEIGHTS, folder / 'pytorch_model.bin', _use_new_zipfile_serialization=not legacy)
    assert_read(folder)
    # safetensors come first, as in transformers
    save_file(WEIGHTS, folder / 'model.safetensors')
    (folder / 'pytorch_model.bin').write_bytes(b'')
    assert_read(folder)


def test_one_hash_of_a_folder(folder, tmp_path_factory, monkeypatch):
    """Of the loader, the model card and the report: that of the weights, and of nothing else."""
    model = timm.create_model('test_vit', img_size=32, num_classes=3)
    save_for_hf(model, folder, model_args=dict(img_size=32), safe_serialization='both')
    os.mkdir(folder / 'logs')
    out = tmp_path_factory.mktemp('out')
    for name in ('model.safetensors', 'pytorch_model.bin'):  # what is loaded where both are there
        for alien in ('optimizer.bin', 'training_args.bin', 'adapter.safetensors', 'README.md'):
            (folder / alien).write_bytes(os.urandom(9))
        wanted = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        checkpoint = read_checkpoint(folder)
        assert checkpoint.sha256 == file_hash(folder) == source_hash(str(folder)) == wanted
        write_report(str(out / 'report.json'), 'p', None, str(folder), {})
        assert json.loads((out / 'report.json').read_text())['checkpoint']['sha256'] == wanted
        backbone = load_backbone(checkpoint)
        export_backbone(backbone, str(out / 'a.pt'), 'torchscript', checkpoint.sha256, force=True)
        assert f'`{wanted}`' in (out / 'a.pt.md').read_text()
        assert file_hash(folder / name) == wanted
        (folder / name).unlink()


def test_parts(folder):
    huggingface_hub.save_torch_state_dict(WEIGHTS, folder, max_shard_size=100)
    parts = sorted(path.name for path in folder.glob('*.safetensors'))
    assert len(parts) == 3
    wanted = hashlib.sha256(b''.join((folder / part).read_bytes() for part in parts)).hexdigest()
    (folder / 'alien.safetensors').write_bytes(b'a')
    assert assert_read(folder).sha256 == file_hash(folder) == wanted
    (folder / parts[1]).rename(folder / 'kept')
    with pytest.raises(FileNotFoundError, match=f'is not whole: it has no {parts[1]}'):
        read_checkpoint(folder)
    save_file({'other': torch.ones(1)}, folder / parts[1])
    with pytest.raises(ValueError, match=r'is not whole: layer\.\d\.weight is in none of its'):
        read_checkpoint(folder)


@pytest.mark.parametrize('name', ['../model.safetensors', '/tmp/a.safetensors', 3])
def test_parts_outside_the_folder_are_refused(folder, name):
    index = dict(weight_map={'layer.0.weight': name})
    (folder / 'model.safetensors.index.json').write_text(json.dumps(index))
    with pytest.raises(ValueError, match='does not map tensors to files in it'):
        read_checkpoint(folder)


def test_mean_and_std_of_the_preprocessor_are_kept(folder):
    save_file(WEIGHTS, folder / 'model.safetensors')
    numbers = dict(image_mean=[0.5, 0.5, 0.5])
    (folder / 'preprocessor_config.json').write_text(json.dumps(numbers))
    assert_read(folder, preprocessor_config=numbers)


def test_code_in_a_folder_is_refused(folder):
    torch.save(dict(WEIGHTS, harm=print), folder / 'pytorch_model.bin')
    with pytest.raises(
        ValueError, match=r'pytorch_model\.bin is not read: it holds (builtins\.)?print'
    ):
        read_checkpoint(folder)


def test_sentences(tmp_path, folder):
    with pytest.raises(FileNotFoundError, match=r'holds no weights: no model\.safetensors or'):
        read_checkpoint(folder)
    for name in ('flax_model.msgpack', 'tf_model.h5'):
        (folder / name).touch()
        with pytest.raises(ValueError, match=f'only weights of TensorFlow or Flax .{name}.'):
            read_checkpoint(folder)
    (folder / 'config.json').write_text('<html>')
    with pytest.raises(ValueError, match=r'config\.json is not the JSON it should be'):
        read_checkpoint(folder)
    (folder / 'config.json').unlink()
    with pytest.raises(FileNotFoundError, match=r'it has no config\.json$'):
        read_checkpoint(folder)
    torch.save(WEIGHTS, folder / 'epoch_3.pth')
    with pytest.raises(FileNotFoundError, match=r'no config\.json; give the file, .*epoch_3\.pth'):
        read_checkpoint(folder)


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """An empty cache of huggingface_hub, and no network."""
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_CACHE', str(tmp_path / 'hub'))
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_OFFLINE', True)
    return tmp_path / 'hub'


@pytest.mark.parametrize('revision', ['main', 'v1'])
def test_a_repository_that_was_fetched_before(offline, revision):
    commit = '0123456789' * 4
    repository = offline / 'models--someone--vit'
    (repository / 'refs').mkdir(parents=True)
    (repository / 'refs' / revision).write_text(commit)
    snapshot = repository / 'snapshots' / commit
    snapshot.mkdir(parents=True)
    (snapshot / 'config.json').write_text(json.dumps(CONFIG))
    save_file(WEIGHTS, snapshot / 'model.safetensors')
    source = 'hf:someone/vit' + ('' if revision == 'main' else f'@{revision}')
    assert assert_read(source).sha256 == file_hash(source) == file_hash(snapshot)


def test_without_a_network_the_way_out_is_told(offline):
    words = r'hf:someone/vit could not be fetched .*give its path'
    with pytest.raises(ConnectionError, match=words):
        read_checkpoint('hf:someone/vit')
    with pytest.raises(ConnectionError, match='could not be fetched'):
        read_checkpoint('hf:no/such/name')


@pytest.fixture
def timm_folder(tmp_path):
    torch.manual_seed(0)
    model = timm.create_model('test_vit', img_size=32, num_classes=3)
    save_for_hf(model, tmp_path, model_args=dict(img_size=32), safe_serialization=True)
    return tmp_path, model


def test_a_model_of_timm(timm_folder):
    path, model = timm_folder
    checkpoint = read_checkpoint(f'timm:local-dir:{path}')
    assert (checkpoint.kind, checkpoint.files) == ('timm', ())
    assert list(checkpoint.content) == list(model.state_dict())
    assert all(torch.equal(checkpoint.content[k], v) for k, v in model.state_dict().items())
    assert checkpoint.config['num_heads'] == model.blocks[0].attn.num_heads
    assert checkpoint.config['architecture'] == 'test_vit'
    assert tuple(checkpoint.config['mean']) == tuple(model.pretrained_cfg['mean'])
    name = f'timm:local-dir:{path}'
    assert checkpoint.sha256 == file_hash(name) == source_hash(name)
    assert len(checkpoint.sha256) == 64


def test_a_folder_of_timm(timm_folder):
    path, model = timm_folder
    checkpoint = read_checkpoint(path)
    assert checkpoint.kind == 'timm'
    assert all(torch.equal(checkpoint.content[k], v) for k, v in model.state_dict().items())
    assert checkpoint.config['architecture'] == 'test_vit'
    assert tuple(checkpoint.config['mean']) == tuple(model.pretrained_cfg['mean'])


def test_sentences_of_timm(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r'timm has no pretrained weights called vit_of_nobody: '):
        read_checkpoint('timm:vit_of_nobody')
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_OFFLINE', True)
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_CACHE', str(tmp_path))
    words = r'timm:test_vit could not be loaded .*without a network, download'
    with pytest.raises(ConnectionError, match=words):
        read_checkpoint('timm:test_vit')
