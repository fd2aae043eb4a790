"""Every format, loaded by the library it is for with the code on its card."""

import re
from pathlib import Path

import pytest
import torch
import transformers
from mmengine.utils import digit_version

from mmc_plugin.apis import load_backbone
from mmc_plugin.checkpoints.export import FORMATS, export_backbone
from mmc_plugin.checkpoints.export.export import refuse_existing
from mmc_plugin.errors import InputError

SHA = 'a1' * 32
READ_BACK = ('mmpretrain', 'timm', 'huggingface', 'safetensors', 'onnx')
needs_torch26 = pytest.mark.skipif(
    digit_version(torch.__version__) < digit_version('2.6'), reason='ONNX needs PyTorch 2.6'
)
needs_registers = pytest.mark.skipif(
    not hasattr(transformers, 'Dinov2WithRegistersModel'), reason='needs a newer transformers'
)
CASES = [
    ('mmpretrain', 'plain'), ('mmpretrain', 'swiglu'), ('mmpretrain', 'odd'),
    ('timm', 'plain'), ('timm', 'dinov2'), ('timm', 'registers'), ('timm', 'swiglu'),
    ('timm', 'odd'),
    ('huggingface', 'plain'), ('huggingface', 'dinov2'),
    pytest.param('huggingface', 'registers', marks=needs_registers),
    ('huggingface', 'swiglu'), ('huggingface', 'odd'),
    ('safetensors', 'plain'), ('safetensors', 'registers'), ('safetensors', 'swiglu'),
    ('safetensors', 'odd'),
    ('torchscript', 'plain'), ('torchscript', 'registers'),
    ('torch-export', 'plain'), ('torch-export', 'registers'),
    pytest.param('onnx', 'plain', marks=needs_torch26),
    pytest.param('onnx', 'registers', marks=needs_torch26),
]  # fmt: skip
# timm always resizes positions with antialiasing, transformers only for models with registers,
# mmpretrain never: the models of the other kind are compared at their own size only.
OWN_SIZE_ONLY = {
    ('timm', 'plain'), ('timm', 'dinov2'), ('timm', 'swiglu'), ('timm', 'odd'),
}  # fmt: skip


def export(model, folder, to, **options):
    destination = folder / f'model{FORMATS[to][1]}'
    export_backbone(model, str(destination), to, SHA, **options)
    card = destination / 'README.md' if to == 'huggingface' else Path(f'{destination}.md')
    return destination, card


def difference(one, other):
    return max(float((a - b).abs().max()) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(('to', 'kind'), CASES)
def test_same_features(to, kind, make_model, features, run_card, tmp_path, record_property):
    model = make_model(kind)
    destination, card = export(model, tmp_path, to)
    back = load_backbone(str(destination)) if to in READ_BACK else None
    images, *found = run_card(card)
    worst = difference(features(model, images), found)
    shapes = [(2, 3, 32, 32)]
    if (to, kind) not in OWN_SIZE_ONLY:
        shapes += [(3, 3, 24, 56), (1, 3, 48, 40)]
    for shape in shapes:
        images = torch.randn(shape, generator=torch.Generator().manual_seed(shape[-1]))
        expected = features(model, images)
        worst = max(worst, difference(expected, run_card(card, images)[1:]))
        if back is not None:
            worst = max(worst, difference(expected, features(back, images)))
    record_property('max difference', worst)
    print(f'{to} {kind}: {worst:.1e} of {float(expected[1].abs().max()):.1f}')
    assert worst <= 1e-5
    if back is not None:
        assert back.source.mean == pytest.approx(model.source.mean, abs=1e-3)
        assert back.source.std == pytest.approx(model.source.std, abs=1e-3)


@pytest.mark.parametrize(('to', 'kind'), sorted(OWN_SIZE_ONLY) + [('mmpretrain', 'aa')])
def test_other_resizing_is_said(to, kind, make_model, features, run_card, tmp_path):
    model = make_model('plain', pos_antialias=True) if kind == 'aa' else make_model(kind)
    _, card = export(model, tmp_path, to)
    text = ' '.join(card.read_text().split())
    assert 'unlike the source, and features differ slightly' in text
    images = torch.randn(1, 3, 24, 56)
    expected = features(model, images)
    worst = difference(expected, run_card(card, images)[1:])
    assert 1e-5 < worst < float(expected[1].abs().max())


@pytest.mark.parametrize('to', ['timm', 'mmpretrain', 'safetensors', 'torchscript'])
def test_size_of_the_positions_is_not_square(to, make_model, features, run_card, tmp_path):
    model = make_model('plain', img_size=(24, 56))
    destination, card = export(model, tmp_path, to)
    images, *found = run_card(card)
    assert images.shape[2:] == (24, 56)
    assert difference(features(model, images), found) <= 1e-5
    if to in READ_BACK:
        back = load_backbone(str(destination))
        assert difference(features(model, images), features(back, images)) <= 1e-5


@pytest.mark.parametrize('to', ['timm', 'safetensors', 'torchscript', 'mmpretrain'])
def test_no_final_norm(to, make_model, features, run_card, tmp_path):
    model = make_model('plain', final_norm=False)
    _, card = export(model, tmp_path, to)
    images, *found = run_card(card)
    expected = features(model, images)
    assert difference(expected, found) <= 1e-5 * float(expected[1].abs().max())


@pytest.mark.parametrize(
    'to', [pytest.param(to, marks=needs_torch26) if to == 'onnx' else to for to in FORMATS]
)
def test_card(to, make_model, tmp_path):
    _, card = export(make_model('dinov2'), tmp_path, to)
    text = card.read_text()
    assert card.name == ('README.md' if to == 'huggingface' else f'model{FORMATS[to][1]}.md')
    for words in ('`epoch_7.pth`', SHA, '32×32', '100 110 120', '50 55 60', 'LayerScale',
                  '2 heads', 'licence', 'mmc_plugin'):  # fmt: skip
        assert words in text
    code = re.search(r'```python\n(.+?)```', text, re.DOTALL)[1]
    assert len([line for line in code.splitlines() if not re.match('import|from', line)]) <= 6
    files = [path for path in tmp_path.rglob('*') if path.is_file()]
    assert {path.stat().st_mode for path in files} == {card.stat().st_mode}
    for path in files:  # neither the machine's folders nor those of the source
        assert str(tmp_path).encode() not in path.read_bytes()
        assert b'/home/somebody' not in path.read_bytes()


def test_exports_of_one_name_lie_beside_each_other(make_model, tmp_path):
    model = make_model('plain')
    cards = [export(model, tmp_path, to)[1] for to in ('mmpretrain', 'safetensors', 'torchscript')]
    assert len({card.read_text() for card in cards}) == 3


def test_refusals(make_model, tmp_path):
    registers = make_model('registers')
    for model, to, words in [
        (registers, 'mmpretrain', 'no register tokens'),
        (make_model(img_size=(24, 56)), 'huggingface', '--img-size 56'),
        (make_model(final_norm=False), 'huggingface', 'final norm'),
        (make_model(patch_size=(8, 4)), 'huggingface', '8×4'),
        (make_model(img_size=36), 'onnx', '36×36 is no multiple'),
    ]:
        with pytest.raises(ValueError, match=words):
            export(model, tmp_path, to)
        assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match='does not end with .onnx'):
        export_backbone(registers, str(tmp_path / 'a.pth'), 'onnx', SHA)
    with pytest.raises(ValueError, match='must be one of mmpretrain, timm'):
        export_backbone(registers, str(tmp_path / 'a.pth'), 'keras', SHA)
    del registers.source
    with pytest.raises(ValueError, match='load_backbone'):
        export(registers, tmp_path, 'timm')


@pytest.mark.parametrize('to', ['safetensors', 'huggingface'])
def test_nothing_is_replaced_unless_told(to, make_model, tmp_path, features):
    first, second = make_model(), make_model('dinov2')
    destination, card = export(first, tmp_path, to)
    before = {path: path.read_bytes() for path in tmp_path.rglob('*') if path.is_file()}
    with pytest.raises(FileExistsError, match='replace it with --force'):
        export(second, tmp_path, to)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob('*') if path.is_file()}
    export(second, tmp_path, to, force=True)
    assert set(before) == {path for path in tmp_path.rglob('*') if path.is_file()}
    assert load_backbone(str(destination)).source.settings['layer_scale_init_value']


def test_only_folders_of_exports_are_replaced(tmp_path):
    folder = tmp_path / 'photos'
    folder.mkdir()
    (folder / 'config.json').touch()
    refuse_existing(str(folder), force=True, folder=True)
    with pytest.raises(FileExistsError, match='--force'):
        refuse_existing(str(folder), force=False, folder=True)
    (folder / 'cat.jpg').touch()
    with pytest.raises(FileExistsError, match='holds cat.jpg'):
        refuse_existing(str(folder), force=True, folder=True)
    with pytest.raises(FileExistsError, match='is a folder, and a file would'):
        refuse_existing(str(folder), force=True)
    with pytest.raises(FileExistsError, match='is a file, and a folder would'):
        refuse_existing(str(folder / 'cat.jpg'), force=True, folder=True)


def test_an_older_pytorch_is_refused_onnx_in_a_sentence(make_model, tmp_path, monkeypatch):
    monkeypatch.setattr(torch, '__version__', '2.5.1')
    with pytest.raises(InputError, match='PyTorch 2.5.1 cannot write an ONNX model .* torchscript'):
        export(make_model('plain'), tmp_path, 'onnx')
    assert not [*tmp_path.iterdir()]
