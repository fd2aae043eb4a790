import json
import sys

import numpy as np
import pytest
import transformers
from PIL import Image
from transformers import AutoConfig, AutoImageProcessor, AutoModel

from mmc_plugin.checkpoints.export import export_backbone


@pytest.mark.parametrize(
    ('kind', 'name'),
    [
        ('plain', 'ViTModel'),
        ('swiglu', 'Dinov2Model'),
        ('registers', 'Dinov2WithRegistersModel'),
    ],
)
def test_auto_classes_know_it(kind, name, make_model, tmp_path):
    if not hasattr(transformers, name):
        pytest.skip(f'this transformers has no {name}')
    model = make_model(kind, norm_cfg=dict(type='LN', eps=1e-5))
    export_backbone(model, str(tmp_path / 'out'), 'huggingface', '0' * 64)
    assert type(AutoModel.from_pretrained(tmp_path / 'out')).__name__ == name
    config = AutoConfig.from_pretrained(tmp_path / 'out')
    assert (config.layer_norm_eps, config.image_size, config.patch_size) == (1e-5, 32, 8)
    assert config.num_attention_heads == 2
    names = {path.name for path in (tmp_path / 'out').iterdir()}
    assert names == {'config.json', 'preprocessor_config.json', 'model.safetensors', 'README.md'}
    assert json.loads((tmp_path / 'out' / 'config.json').read_text())['architectures'] == [name]
    assert (tmp_path / 'out' / 'README.md').read_text().startswith('---\nlibrary_name: transf')


def test_preprocessing_is_that_of_the_source(make_model, tmp_path):
    model = make_model()
    export_backbone(model, str(tmp_path / 'out'), 'huggingface', '0' * 64)
    image = np.full((32, 32, 3), (10, 100, 200), np.uint8)
    processor = AutoImageProcessor.from_pretrained(tmp_path / 'out')
    found = processor(Image.fromarray(image), return_tensors='np')['pixel_values']
    expected = (np.array([10, 100, 200]) - model.source.mean) / model.source.std
    assert found.shape == (1, 3, 32, 32)
    np.testing.assert_allclose(found[0, :, 5, 7], expected, atol=1e-5)


def test_without_transformers(make_model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'transformers', None)
    with pytest.raises(ImportError, match='install "transformers<5"'):
        export_backbone(make_model(), str(tmp_path / 'out'), 'huggingface', '0' * 64)
    assert not list(tmp_path.iterdir())
