import hashlib
import re
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mmc_plugin.apis import load_backbone
from mmc_plugin.checkpoints.export import publish

CFG = """
data_root = '/home/somebody/pictures'
model = dict(
    type='MMC',
    backbone=dict(
        type='VisionTransformer',
        arch=dict(embed_dims=64, num_layers=2, num_heads=2, feedforward_channels=96),
        img_size=32, patch_size=8,
        init_cfg=dict(type='Pretrained', checkpoint='/home/somebody/a.pth')),
    data_preprocessor=dict(type='ViewDataPreprocessor', mean=[1, 2, 3], std=[4, 5, 6]))
work_dir = '/home/somebody/runs'
"""


@pytest.fixture
def run(make_model, tmp_path):
    """Checkpoint of a run, with a teacher, a student, a head and an optimiser."""
    student, teacher = make_model(), make_model()
    teacher.pos_embed.data += 1
    weights = OrderedDict(
        [(f'backbone.{name}', value) for name, value in student.state_dict().items()]
        + [(f'teacher.backbone.{name}', value) for name, value in teacher.state_dict().items()]
        + [('cls_head.weight', torch.randn(10, 64)[:5])]  # half of its storage
    )
    optimizer = dict(state={0: dict(exp_avg=torch.zeros(1000, 1000))}, param_groups=[])
    meta = dict(cfg=CFG, epoch=7, iter=70, time='yesterday', exp_name='/home/somebody/x')
    path = tmp_path / 'epoch_7.pth'
    torch.save(
        dict(meta=meta, state_dict=weights, optimizer=optimizer, param_schedulers=[dict(a=1)],
             message_hub=dict(log='x')), path)  # fmt: skip
    return path


def test_weights_stay_and_the_rest_goes(run, tmp_path):
    path = publish(str(run), str(tmp_path / 'given' / 'mmc.pth'))
    name = re.fullmatch(r'mmc-([0-9a-f]{8})\.pth', path.rpartition('/')[2])
    data = Path(path).read_bytes()
    assert hashlib.sha256(data).hexdigest().startswith(name[1])
    assert b'somebody' not in data and str(tmp_path).encode() not in data
    assert len(data) < 1_500_000
    before, after = (torch.load(each, weights_only=True) for each in (run, path))
    assert set(after) == {'meta', 'state_dict'}
    assert set(after['meta']) == {'cfg', 'epoch', 'iter'} and after['meta']['epoch'] == 7
    assert list(after['state_dict']) == list(before['state_dict'])
    for name, value in before['state_dict'].items():
        assert torch.equal(after['state_dict'][name], value)
    for which in ('teacher', 'student'):
        one, other = (load_backbone(str(each), which=which) for each in (run, path))
        assert (one.source.mean, one.source.settings) == (other.source.mean, other.source.settings)
        assert other.source.mean == (1, 2, 3)
        assert one.source.format == other.source.format
        assert torch.equal(one.pos_embed, other.pos_embed)


def test_same_content_same_name_and_no_overwriting(run, tmp_path):
    first = publish(str(run), str(tmp_path / 'a'))
    with pytest.raises(FileExistsError, match='--force'):
        publish(str(run), str(tmp_path / 'a'))
    assert publish(str(run), str(tmp_path / 'a.pth'), force=True) == first
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(
        [run.name, first.rpartition('/')[2]]
    )


def test_release_with_several_networks(make_model, tmp_path):
    weights = make_model().state_dict()
    torch.save(
        dict(student=weights, teacher=weights, optimizer=dict(a=torch.ones(1)), epoch=3,
             opt=dict(a=torch.ones(1)), fp16_scaler=dict(scale=torch.ones(1)), arch='vit_small'),
        tmp_path / 'a.pth')  # fmt: skip
    found = torch.load(publish(str(tmp_path / 'a.pth'), str(tmp_path / 'b')), weights_only=True)
    assert set(found) == {'student', 'teacher', 'arch'}
    torch.save(weights, tmp_path / 'bare.pth')
    found = torch.load(publish(str(tmp_path / 'bare.pth'), str(tmp_path / 'c')), weights_only=True)
    assert set(found) == set(weights)


def test_refusals(tmp_path):
    torch.save(dict(optimizer=dict(a=torch.ones(1))), tmp_path / 'a.pth')
    with pytest.raises(ValueError, match='holds no weights'):
        publish(str(tmp_path / 'a.pth'), str(tmp_path / 'b'))
    save_file(dict(a=torch.ones(1)), str(tmp_path / 'a.safetensors'))
    with pytest.raises(ValueError, match='safetensors file'):
        publish(str(tmp_path / 'a.safetensors'), str(tmp_path / 'b'))
    with pytest.raises(FileNotFoundError):
        publish(str(tmp_path / 'none.pth'), str(tmp_path / 'b'))
