import os

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from mmengine.device import get_device
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mmc_plugin.datasets.image_files import ImageFiles
from mmc_plugin.engine import cli
from mmc_plugin.evaluation import feature_bank as bank_module
from mmc_plugin.evaluation.feature_bank import FeatureBank, feature_bank
from mmc_plugin.evaluation.image_batches import pixel_hashes
from mmc_plugin.models.features import FrozenFeatures

ARCH = dict(embed_dims=16, num_layers=3, num_heads=2, feedforward_channels=32)
VIT = dict(type='PretrainedViT', arch=ARCH, img_size=32, patch_size=8, out_type='raw')
LAYERS = (0, -1)


def photographs(folder, number=7):
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(number):
        pixels = rng.integers(0, 256, (40 + i, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f'{i}.png')
    return ImageFiles([str(folder / f'{i}.png') for i in range(number)], 36, 32)


def slow_bank(model, files):
    """One image after the other in float64."""
    backbone = model.backbone.double()
    cls, pat = [], []
    for path in files.paths:
        image = Image.open(path)
        scale = 36 / min(image.size)
        image = image.resize([int(scale * side) for side in image.size], Image.Resampling.BICUBIC)
        left, top = (round((side - 32) / 2) for side in image.size)
        pixels = np.array(image.crop((left, top, left + 32, top + 32)))
        inputs = (torch.from_numpy(pixels).permute(2, 0, 1).double() - model.mean) / model.std
        tokens, layers = inputs[None], []
        tokens = backbone.patch_embed(tokens)[0]
        tokens = torch.cat([backbone.cls_token, tokens], 1) + backbone.pos_embed
        for layer in backbone.layers:
            tokens = layer(tokens)
            layers.append(tokens[0])
        tokens = torch.stack([backbone.ln1(layers[i]) for i in LAYERS])  # (L, 1 + N, D)
        cls.append(tokens[:, 0])
        pat.append(tokens[:, 1:].mean(1))
    backbone.float()
    return torch.stack(cls, 1), torch.stack(pat, 1)


def test_against_one_image_after_the_other(tmp_path):
    model, files = FrozenFeatures(VIT, 32), photographs(tmp_path)
    labels = torch.tensor([3, 1, 4, 1, 5, 9, 2])
    bank = feature_bank(model, files, labels, LAYERS, batch_size=3, num_workers=0)
    cls, pat = slow_bank(model, files)
    torch.testing.assert_close(bank.cls.double(), cls, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(bank.pat.double(), pat, rtol=1e-4, atol=1e-5)
    assert torch.equal(bank.labels, labels) and len(bank) == 7 and not bank.unreadable
    assert torch.equal(bank.features('cls'), bank.cls[1])
    assert torch.equal(bank.features('hybrid', 0), torch.cat([bank.cls[0], bank.pat[0]], 1))
    with pytest.raises(ValueError, match="one of cls, pat, hybrid, got 'dense'"):
        bank.features('dense')


def test_what_cannot_be_read_is_left_out_and_named(tmp_path):
    model, files = FrozenFeatures(VIT, 32), photographs(tmp_path)
    whole = feature_bank(model, files, torch.arange(7), num_workers=0)
    (tmp_path / '2.png').write_bytes(b'no image')
    bank = feature_bank(model, files, torch.arange(7), num_workers=0)
    kept = torch.tensor([0, 1, 3, 4, 5, 6])
    assert torch.equal(bank.index, kept) and torch.equal(bank.labels, kept)
    assert bank.unreadable == [str(tmp_path / '2.png')]
    torch.testing.assert_close(bank.pat, whole.pat[:, kept])
    with pytest.raises(ValueError, match='None of the images can be read .1 in all.*2.png'):
        feature_bank(model, ImageFiles([str(tmp_path / '2.png')], 36, 32), num_workers=0)


def count(monkeypatch, model, *args, **kwargs):
    """The bank and how many images passed through the model."""
    seen = []
    handle = model.backbone.register_forward_hook(lambda m, args, out: seen.append(len(args[0])))
    bank = feature_bank(model, *args, num_workers=0, **kwargs)
    handle.remove()
    return bank, sum(seen)


def test_a_kept_bank_is_found_again_and_only_the_same_one(tmp_path, monkeypatch):
    model, files, cache = FrozenFeatures(VIT, 32), photographs(tmp_path / 'a'), tmp_path / 'cache'
    labels = torch.arange(7)
    first, number = count(monkeypatch, model, files, labels, cache_dir=cache)
    again, none = count(monkeypatch, model, files, labels, cache_dir=cache)
    assert (number, none) == (7, 0) and len(list(cache.iterdir())) == 1
    for name in ('cls', 'pat', 'index', 'hashes', 'labels'):
        assert torch.equal(getattr(first, name), getattr(again, name))

    def is_another(model, files, labels=labels, **kwargs):
        return count(monkeypatch, model, files, labels, cache_dir=cache, **kwargs)[1] == 7

    assert is_another(model, files, layers=LAYERS)
    assert is_another(model, files, labels=labels + 1)
    assert is_another(model, ImageFiles(files.paths, 40, 32))
    assert is_another(FrozenFeatures(VIT, 32, seed=1), files)
    assert is_another(FrozenFeatures(VIT, 32, mean=(1, 2, 3)), files)
    heads = FrozenFeatures(dict(VIT, arch=dict(ARCH, num_heads=4)), 32)
    heads.load_state_dict(model.state_dict())  # what shows in no weight counts too
    assert is_another(heads, files)
    assert is_another(FrozenFeatures(dict(VIT, pos_offset=0.1), 32), files)
    for dtype in (torch.bfloat16, torch.float16):  # of mixed precision on a CPU and on a GPU
        monkeypatch.setattr(bank_module, '_product_type', lambda model, fp16, dtype=dtype: dtype)
        assert is_another(model, files, fp16=True)
    os.utime(files.paths[3], (1, 1))
    assert is_another(model, files)


def test_the_type_of_products_is_that_of_autocast():
    device = get_device()
    model = FrozenFeatures(VIT, 32).to(device)
    assert bank_module._product_type(model, False) == torch.float32
    mixed = dict(cpu=torch.bfloat16, cuda=torch.float16)
    assert bank_module._product_type(model, True) == mixed[device]


def test_unreadable_files_are_kept_in_mind(tmp_path):
    model, files, cache = FrozenFeatures(VIT, 32), photographs(tmp_path / 'a'), tmp_path / 'cache'
    (tmp_path / 'a' / '2.png').write_bytes(b'no image')
    first = feature_bank(model, files, cache_dir=cache, num_workers=0)
    again = feature_bank(model, files, cache_dir=cache, num_workers=0)
    assert again.labels is None and again.unreadable == first.unreadable == [files.paths[2]]
    assert torch.equal(first.index, again.index)


def _in_process(rank, world, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{folder}/store', rank=rank, world_size=world
    )
    files = photographs(folder / 'of' / str(rank)) if rank == 0 else None
    torch.distributed.barrier()
    files = files or ImageFiles([str(folder / 'of' / '0' / f'{i}.png') for i in range(7)], 36, 32)
    keys = dict(layers=LAYERS, batch_size=2, num_workers=0, cache_dir=folder / 'cache')
    banks = [feature_bank(FrozenFeatures(VIT, 32), files, torch.arange(7), **keys) for _ in '12']
    torch.save([(bank.cls, bank.pat, bank.labels) for bank in banks], folder / f'{rank}.pth')
    cli.end_launch()


def test_two_processes_gather_what_one_extracts(tmp_path):
    mp.start_processes(_in_process, (2, tmp_path), nprocs=2, start_method='fork')
    files = ImageFiles([str(tmp_path / 'of' / '0' / f'{i}.png') for i in range(7)], 36, 32)
    bank = feature_bank(
        FrozenFeatures(VIT, 32), files, torch.arange(7), LAYERS, batch_size=2, num_workers=0
    )
    for rank in (0, 1):  # 7 images: the parts are 4 and 3 + 1
        for cls, pat, labels in torch.load(tmp_path / f'{rank}.pth'):
            torch.testing.assert_close(cls, bank.cls)
            torch.testing.assert_close(pat, bank.pat)
            assert torch.equal(labels, bank.labels)


def test_a_bank_on_another_device_comes_back_whole():
    bank = FeatureBank(torch.ones(1, 2, 3), torch.zeros(1, 2, 3), torch.arange(2), torch.arange(2))
    assert bank.cpu().labels is None and torch.equal(bank.cpu().cls, bank.cls)


def cut_short(path):
    path.write_bytes(path.read_bytes()[:100])


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def another_name_left_out(path):
    data = path.read_bytes()
    path.write_bytes(data.replace(b'2.png', b'3.png'))


def without_metadata(path):
    save_file(load_file(path), path)


def without_hash(path):
    save_file(load_file(path), path, dict(unreadable='[]'))


def without_a_tensor(path):
    with safe_open(path, 'pt') as file:
        metadata = file.metadata()
    tensors = load_file(path)
    del tensors['hashes']
    save_file(tensors, path, metadata)


@pytest.mark.parametrize(
    'damage',
    [
        cut_short, flip_a_bit, another_name_left_out, without_metadata, without_hash,
        without_a_tensor,
    ],
)  # fmt: skip
def test_a_damaged_bank_is_made_anew(tmp_path, monkeypatch, damage):
    model, files, cache = FrozenFeatures(VIT, 32), photographs(tmp_path / 'a'), tmp_path / 'cache'
    (tmp_path / 'a' / '2.png').write_bytes(b'no image')
    first, _ = count(monkeypatch, model, files, cache_dir=cache)
    (kept,) = cache.iterdir()
    damage(kept)
    second, number = count(monkeypatch, model, files, cache_dir=cache)
    assert number == 7 and torch.equal(first.cls, second.cls)
    assert second.unreadable == [files.paths[2]]
    assert count(monkeypatch, model, files, cache_dir=cache)[1] == 0


def test_a_folder_of_a_banks_name_stays(tmp_path, monkeypatch):
    model, files, cache = FrozenFeatures(VIT, 32), photographs(tmp_path / 'a'), tmp_path / 'cache'
    count(monkeypatch, model, files, cache_dir=cache)
    (kept,) = cache.iterdir()
    kept.unlink()
    (kept / 'precious').mkdir(parents=True)
    with pytest.raises(FileExistsError, match=f'{kept.name} is a folder, and a file would be'):
        count(monkeypatch, model, files, cache_dir=cache)
    assert (kept / 'precious').is_dir()


@pytest.mark.parametrize('labels', [6, 8])
def test_labels_that_do_not_fit_are_refused(tmp_path, labels):
    files = photographs(tmp_path)
    with pytest.raises(ValueError, match=f'got 7, and {labels} labels'):
        feature_bank(FrozenFeatures(VIT, 32), files, torch.arange(labels), num_workers=0)
    with pytest.raises(ValueError, match='got 0'):
        feature_bank(FrozenFeatures(VIT, 32), ImageFiles([], 36, 32), num_workers=0)


def test_hashes_are_those_of_the_pixels(tmp_path):
    files = photographs(tmp_path)
    pixels = torch.stack([files[i][0] for i in range(7)])
    bank = feature_bank(FrozenFeatures(VIT, 32), files, num_workers=0)
    assert torch.equal(bank.hashes, pixel_hashes(pixels))


def test_scales_are_summed_and_shapes_may_differ(tmp_path):
    model = FrozenFeatures(VIT, 32)
    paths = photographs(tmp_path).paths
    files = ImageFiles(paths, crop=44, fit='long')
    bank = feature_bank(model, files, batch_size=4, num_workers=0, scales=(1, 0.5))
    assert {files[i][0].shape for i in range(7)} == {
        (3, round((40 + i) * 0.88), 44) for i in range(7)
    }
    for i in range(7):
        image = model.normalise(files[i][0][None])
        half = torch.nn.functional.interpolate(image, scale_factor=0.5, mode='bilinear')
        cls = 0
        for each in (image, half):
            rows, columns = (side // 8 * 8 for side in each.shape[2:])
            cls = cls + model.tokens(each[:, :, :rows, :columns])[0][0][0]
        torch.testing.assert_close(bank.cls[0, i], cls)
