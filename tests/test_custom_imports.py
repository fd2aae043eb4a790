"""The backbone and the plugin in projects of the hosts, by what their users write in a config."""

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.models.backbones import VisionTransformer
from mmpretrain.registry import MODELS

from mmc_plugin.errors import MissingPackageError

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / 'mmc_plugin'
ARCH = dict(embed_dims=48, num_layers=2, num_heads=3, feedforward_channels=96)

PLAIN = f"""
custom_imports = dict(imports=['mmc_plugin'], allow_failed_imports=False)
default_scope = 'mmpretrain'
head = dict(in_channels=48, hidden_channels=32)
model = dict(
    type='MMC',
    backbone=dict(
        type='VisionTransformer', arch={ARCH}, img_size=32, patch_size=8, out_type='raw'),
    rec_head=dict(type='PixelReconstructionHead', patch_size=8, **head),
    patch_head=dict(type='PatchContrastHead', **head),
    cls_head=dict(type='GlobalContrastHead', **head))
"""
BUILD = """
import sys
from mmengine.config import Config
from mmengine.registry import init_default_scope

cfg = Config.fromfile(sys.argv[1])
assert 'mmc_plugin' in sys.modules
Config.fromfile(sys.argv[1])
from mmpretrain.registry import MODELS

init_default_scope(cfg.default_scope)
model = MODELS.build(cfg.model)
assert MODELS.get('MMC') is type(model)
assert type(model).__module__ == 'mmc_plugin.models.selfsup.mmc'
print('parameters:', sum(p.numel() for p in model.parameters()))
"""
FINETUNE = """
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='VisionTransformer', arch={arch}, img_size=32, patch_size=8,
        init_cfg=dict(type='Pretrained', checkpoint=r'{checkpoint}', prefix='teacher.backbone.')),
    head=dict(type='VisionTransformerClsHead', num_classes=3, in_channels=48),
)
"""
SEGMENT = """
custom_imports = dict(imports=['mmpretrain.models', 'mmc_plugin'], allow_failed_imports=False)
default_scope = 'mmseg'
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(type='SegDataPreProcessor', size=(32, 32)),
    backbone=dict(
        type='mmpretrain.VisionTransformer', arch={arch}, img_size=32, patch_size=8,
        out_type='featmap', out_indices=[0, 1],
        init_cfg=dict(type='Pretrained', checkpoint=r'{checkpoint}', prefix='teacher.backbone.')),
    decode_head=dict(
        type='FCNHead', in_channels=48, in_index=1, channels=8, num_convs=1, num_classes=3),
    test_cfg=dict(mode='whole'))
"""
DETECT = """
custom_imports = dict(imports=['mmc_plugin.detection'], allow_failed_imports=False)
default_scope = 'mmdet'
model = dict(
    type='FCOS',
    backbone=dict(
        type='mmpretrain.VisionTransformer', arch={arch}, img_size=32, patch_size=8,
        out_type='featmap', out_indices=[1],
        init_cfg=dict(type='Pretrained', checkpoint=r'{checkpoint}', prefix='teacher.backbone.')),
    neck=dict(type='SimpleFPN', in_channels=48, out_channels=32),
    bbox_head=dict(type='FCOSHead', num_classes=3, in_channels=32, feat_channels=32))
"""


def test_a_plain_config_finds_the_plugin_in_a_fresh_process(tmp_path):
    config = tmp_path / 'plain.py'
    config.write_text(PLAIN)
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', BUILD, str(config)], cwd=tmp_path,
        env=dict(os.environ, PYTHONPATH=str(ROOT)), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert 'parameters:' in done.stdout


def test_importing_again_is_harmless():
    import mmc_plugin

    before = MODELS.get('MMC')
    assert importlib.import_module('mmc_plugin') is mmc_plugin
    assert MODELS.get('MMC') is before


def imported_by(file: Path) -> set[str]:
    """Top packages that a file imports, in functions too."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module)
    return {name.split('.')[0] for name in names}


def test_the_package_itself_imports_neither_mmseg_nor_mmdet():
    # sys.modules would not tell: mmpretrain imports mmdet where it is installed.
    allowed = dict(segmentation='mmseg', detection='mmdet')
    files = [f for f in PACKAGE.rglob('*.py') if '.mim' not in f.relative_to(PACKAGE).parts]
    assert len(files) > 30
    for file in files:
        own = allowed.get(file.relative_to(PACKAGE).parts[0])
        assert not imported_by(file) & {'mmseg', 'mmdet'} - {own}, file
    for file in files:  # nor what may import them
        if file.relative_to(PACKAGE).parts[0] not in allowed:
            for node in ast.walk(ast.parse(file.read_text())):
                module = getattr(node, 'module', None) or ''
                assert not module.endswith(tuple(allowed)), file


@pytest.fixture(scope='module')
def pretrained(tmp_path_factory) -> tuple[Path, dict]:
    """A checkpoint of MMC, and the weights of its teacher's backbone."""
    cfg = Config.fromstring(PLAIN, '.py')
    init_default_scope(cfg.default_scope)
    torch.manual_seed(1)
    model = MODELS.build(cfg.model)
    with torch.no_grad():  # nowhere what an initialisation could give, and unlike the student
        for value in model.teacher.parameters():
            value.normal_()
    path = tmp_path_factory.mktemp('pretrained') / 'mmc.pth'
    torch.save(dict(state_dict=model.state_dict(), meta=dict()), path)
    return path, model.teacher.backbone.state_dict()


def assert_arrived(backbone, weights):
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, weights[name]), name


def test_finetuning_in_mmpretrain_loads_the_teacher(pretrained):
    path, weights = pretrained
    assert len(FINETUNE.strip().splitlines()) <= 10
    cfg = Config.fromstring(FINETUNE.format(arch=ARCH, checkpoint=path), '.py')
    init_default_scope('mmpretrain')
    model = MODELS.build(cfg.model)
    model.init_weights()
    assert_arrived(model.backbone, weights)
    images = torch.randn(2, 3, 32, 32)
    own = VisionTransformer(arch=ARCH, img_size=32, patch_size=8)
    own.eval()
    model.eval()
    own.load_state_dict(weights)
    with torch.no_grad():
        (features,) = model.extract_feat(images, stage='backbone')
        torch.testing.assert_close(features, own(images)[0])  # the class token, normalised


def test_segmentation_in_mmseg_loads_the_teacher(pretrained):
    registry = pytest.importorskip('mmseg.registry')
    pytest.importorskip('mmseg.models')
    path, weights = pretrained
    cfg = Config.fromstring(SEGMENT.format(arch=ARCH, checkpoint=path), '.py')
    init_default_scope('mmseg')
    model = registry.MODELS.build(cfg.model)
    model.init_weights()
    assert_arrived(model.backbone, weights)
    assert model.eval()(torch.randn(1, 3, 32, 32), mode='tensor').shape[1] == 3


def test_detection_in_mmdet_loads_the_teacher(pretrained):
    try:
        importlib.import_module('mmdet.models')
    except ImportError as error:
        pytest.skip(f'mmdet.models needs the compiled operators of mmcv: {error}')
    from mmdet.registry import MODELS as DETECTORS

    path, weights = pretrained
    cfg = Config.fromstring(DETECT.format(arch=ARCH, checkpoint=path), '.py')
    init_default_scope('mmdet')
    model = DETECTORS.build(cfg.model)
    model.init_weights()
    assert_arrived(model.backbone, weights)


def test_detection_says_what_it_lacks():
    try:
        importlib.import_module('mmdet.models')
    except ImportError:
        with pytest.raises(MissingPackageError, match=r'needs mmdet, .*install\.md'):
            importlib.import_module('mmc_plugin.detection')
    else:
        pytest.skip('mmdet and the operators are here')
