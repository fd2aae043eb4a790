"""The entry points of torch.hub against what they stand for."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmpretrain.models import VisionTransformer

from mmc_plugin.apis import PromptSegmenter, load_backbone
from mmc_plugin.models.backbones import PretrainedViT

ROOT = Path(__file__).parents[2]


def hub(entry: str, *arguments, **settings):
    return torch.hub.load(str(ROOT), entry, *arguments, source='local', **settings)


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory) -> str:
    """A run's student and teacher, which differ."""
    arch = dict(embed_dims=64, num_layers=2, num_heads=1, feedforward_channels=64)
    state = {}
    for seed, network in enumerate(('backbone', 'teacher.backbone')):
        torch.manual_seed(seed)
        model = VisionTransformer(arch, img_size=32, patch_size=8)
        state |= {f'{network}.{key}': value for key, value in model.state_dict().items()}
    path = tmp_path_factory.mktemp('run') / 'epoch_1.pth'
    torch.save(dict(meta=dict(epoch=1, iter=1), state_dict=state), path)
    return str(path)


@pytest.mark.parametrize('which', ['teacher', 'student'])
@torch.no_grad()
def test_backbone_is_that_of_load_backbone(checkpoint, which):
    found = hub('backbone', checkpoint, which=which)
    expected = load_backbone(checkpoint, which=which)
    state = expected.state_dict()
    assert found.state_dict().keys() == state.keys() and len(state) > 20
    assert all(torch.equal(value, state[key]) for key, value in found.state_dict().items())
    images = torch.randn(2, 3, 32, 48)
    assert torch.equal(found(images)[0], expected(images)[0])
    assert not found.training and not any(p.requires_grad for p in found.parameters())


def test_segmenter_cuts_out_what_prompt_segmenter_does(checkpoint):
    image = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    found = hub('segmenter', checkpoint, size=64).segment(image, (20, 10))
    expected = PromptSegmenter(checkpoint, size=64).segment(image, (20, 10))
    assert np.array_equal(found.similarity, expected.similarity)
    assert np.array_equal(found.mask, expected.mask) and found.mask.any()


def test_what_the_page_shows_runs(checkpoint):
    page = (ROOT / 'docs' / 'install.md').read_text(encoding='utf-8')
    (code,) = re.findall(r'```python\n(.*?torch\.hub.*?)```', page, re.DOTALL)
    code = code.replace('/path/to/mmc_plugin', str(ROOT))
    for name in ('epoch_500.pth', 'timm:vit_small_patch14_dinov2'):
        assert code.count(name) == 1
        code = code.replace(name, checkpoint)
    found = {}
    exec(code, found)
    assert isinstance(found['backbone'], PretrainedViT)
    assert isinstance(found['segmenter'], PromptSegmenter)


@torch.no_grad()
def test_names_reach_the_loader(tmp_path):
    timm = pytest.importorskip('timm')
    torch.manual_seed(0)
    settings = dict(img_size=32, patch_size=8, embed_dim=64, depth=2, num_heads=1)
    model = timm.create_model('vit_tiny_patch16_224', num_classes=0, **settings).eval()
    timm.models.save_for_hf(
        model, tmp_path, model_args=settings, model_config=dict(architecture='vit_tiny_patch16_224')
    )
    found = hub('backbone', f'timm:local-dir:{tmp_path}')
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(found(images)[0], model.forward_features(images))


@pytest.mark.parametrize('entry', ['backbone', 'segmenter'])
def test_a_missing_file_is_named(entry):
    with pytest.raises(FileNotFoundError, match='^the checkpoint nowhere.pth does not exist$'):
        hub(entry, 'nowhere.pth')


@pytest.mark.parametrize('entry', ['backbone', 'segmenter'])
def test_a_missing_host_is_named_before_anything_is_imported(entry, monkeypatch):
    monkeypatch.setattr(torch.hub, '_check_module_exists', lambda name: name != 'mmpretrain')
    with pytest.raises(RuntimeError, match='Missing dependencies: mmpretrain'):
        hub(entry, 'nowhere.pth')
