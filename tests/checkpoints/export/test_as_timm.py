import timm
import torch

from mmc_plugin.checkpoints.export import as_timm
from mmc_plugin.checkpoints.export.exported_backbone import ExportedBackbone, ratio


def code_of(model, tmp_path):
    return as_timm.write(ExportedBackbone(model, '0' * 64), str(tmp_path / 'x.pth')).code


def tiny(**changes):
    arch = dict(embed_dims=192, num_layers=12, num_heads=3, feedforward_channels=768)
    return dict(arch=arch, patch_size=16, img_size=64) | changes


def test_name_is_found_and_loads(make_model, features, run_card, tmp_path, monkeypatch):
    model = make_model(**tiny())
    code = code_of(model, tmp_path)
    assert "create_model('vit_tiny_patch16_224'" in code
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)
    expected = features(model, names['images'])
    torch.testing.assert_close(names['cls'], expected[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(names['patches'], expected[1], atol=1e-5, rtol=1e-5)


def test_a_name_is_not_given_to_another_model(make_model, tmp_path):
    arch = tiny()['arch']
    for changes in [
        dict(arch=arch | dict(num_heads=6)),
        dict(arch=arch | dict(feedforward_channels=384)),
        dict(norm_cfg=dict(type='LN', eps=1e-12)),
        dict(layer_cfgs=dict(act_cfg=dict(type='GELU', approximate='tanh'))),
        dict(layer_scale_init_value=1.0),
        dict(qkv_bias=False),
    ]:
        assert 'create_model' not in code_of(make_model(**tiny(**changes)), tmp_path)


def test_dinov2_names_are_timms_models(make_model, tmp_path):
    arch = dict(embed_dims=384, num_layers=12, num_heads=6, feedforward_channels=1536)
    common = dict(arch=arch, patch_size=14, img_size=28, layer_scale_init_value=1.0)
    assert "'vit_small_patch14_dinov2'" in code_of(make_model(**common), tmp_path)
    four = make_model(**common, num_registers=4)
    assert "'vit_small_patch14_reg4_dinov2'" in code_of(four, tmp_path)
    assert timm.is_model('vit_small_patch14_reg4_dinov2')


def test_ratio_gives_the_width_back():
    for width in range(64, 1600, 48):
        for hidden in range(8, 6000, 101):
            assert int(width * ratio(hidden, width)) == hidden
