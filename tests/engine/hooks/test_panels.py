"""Both hooks that draw, on a real run of the tiny model."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmc_plugin.datasets.image_files import ImageFiles
from mmc_plugin.engine.hooks import reconstruction_panel, similarity_panel
from mmc_plugin.engine.hooks.reconstruction_panel import ReconstructionPanelHook
from mmc_plugin.engine.hooks.similarity_panel import SimilarityPanelHook

TINY = Path(__file__).parents[2] / 'configs' / 'tiny_mmc.py'


def run(photo_folder, work_dir, hooks, **options):
    cfg = Config.fromfile(TINY)
    cfg.merge_from_dict(
        {
            'work_dir': str(work_dir),
            'train_dataloader.dataset.data_root': str(photo_folder),
            'train_dataloader.num_workers': 0,
            'train_dataloader.persistent_workers': False,
            'train_cfg.max_epochs': 3,
            'default_hooks.checkpoint.max_keep_ckpts': 1,
            'experiment_name': str(work_dir).replace('/', '_'),
            'log_level': 'WARNING',
            'optim_wrapper.type': 'OptimWrapper',
            **options,
        }
    )
    cfg.param_scheduler = []
    cfg.custom_hooks = hooks
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


@pytest.fixture
def drawn(monkeypatch):
    """What the hooks hand to the functions that draw."""
    calls = []
    for module, name in [
        (reconstruction_panel, 'reconstruction_panel'),
        (similarity_panel, 'similarity_panel'),
    ]:
        original = getattr(module, name)

        def record(*args, original=original):
            calls.append(args)
            return original(*args)

        monkeypatch.setattr(module, name, record)
    return calls


def test_reconstruction(photo_folder, tmp_path, drawn, monkeypatch):
    monkeypatch.setattr(reconstruction_panel, 'IMAGES', 3)
    steps = Config.fromfile(TINY).train_dataloader.dataset.pipeline
    (place,) = (i for i, step in enumerate(steps) if step.type == 'GMMLMask')
    step = f'train_dataloader.dataset.pipeline.{place}'
    ratios = {f'{step}.noise_ratio': 0.2, f'{step}.alien_ratio': 0.6}
    plain = run(photo_folder, tmp_path / 'plain', [], **ratios)
    runner = run(
        photo_folder,
        tmp_path / 'run',
        [dict(type='ReconstructionPanelHook', interval=2)],
        **ratios,
    )
    for key, value in plain.model.state_dict().items():
        assert torch.equal(value, runner.model.state_dict()[key]), key

    names = sorted(path.name for path in (tmp_path / 'run' / 'vis').iterdir())
    assert names == ['reconstruction_epoch_2.png', 'reconstruction_epoch_3.png']
    assert cv2.imread(str(tmp_path / 'run' / 'vis' / names[0])).shape[2] == 3
    assert len(list((tmp_path / 'run').rglob('vis_image/reconstruction_*.png'))) == 2

    (clean, corrupted, _, mask, titles, _), last = drawn
    assert clean.shape == (3, 32, 32, 3) and mask.shape == (3, 32, 32)
    for i in range(3):
        assert np.array_equal(clean[i], last[0][i]) and np.array_equal(corrupted[i], last[1][i])
        assert np.array_equal(clean[i][~mask[i]], corrupted[i][~mask[i]])
    assert [title.split(',')[0] for title in titles] == ['noise', 'another image', 'noise']
    assert np.array_equal(corrupted[1][mask[1]], clean[0][mask[1]])
    # As much as the pipeline corrupts, or a block of one of 16 patches more.
    shares = mask.mean((1, 2))
    assert max(shares[0], shares[2]) <= 0.2 + 1 / 16 and 0.5 <= shares[1] <= 0.6 + 1 / 16

    model = runner.model.eval()
    with torch.no_grad():
        images = torch.from_numpy(corrupted[1:2]).permute(0, 3, 1, 2)
        found = model.reconstruct_layers(model.data_preprocessor.normalise(images), [-1])[0, 0]
    mean, std = model.data_preprocessor.mean, model.data_preprocessor.std
    expected = (found * std + mean).clamp(0, 255).permute(1, 2, 0).numpy()
    assert np.abs(expected - last[2][1]).max() <= 1


def test_no_reconstruction_head_no_panel(photo_folder, tmp_path, drawn):
    run(
        photo_folder,
        tmp_path,
        [dict(type='ReconstructionPanelHook', interval=1)],
        **{'model.loss_weights.rec': 0.0, 'train_cfg.max_epochs': 1},
    )
    assert not drawn and not (tmp_path / 'vis').exists()


class Paths(list):
    """A data set that tells its files."""

    def get_data_info(self, index):
        return dict(img_path=self[index])


def test_broken_images_are_passed_over(photo_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(reconstruction_panel, 'IMAGES', 2)
    photographs = [str(path) for path in sorted(photo_folder.iterdir())]
    broken = tmp_path / 'broken.jpg'
    broken.write_bytes(b'\xff\xd8')
    hook = ReconstructionPanelHook()
    found = hook._load(Paths([str(broken), *photographs[:3]]), 16)
    expected = ImageFiles([photographs[0], photographs[1]], 16, 16)
    assert len(found) == 2
    for image, (same, _) in zip(found, expected, strict=True):
        assert torch.equal(image, same)
    with pytest.raises(ValueError, match='none of its images can be read.*broken.jpg'):
        hook._load(Paths([str(broken)]), 16)
    with pytest.raises(ValueError, match='interval'):
        ReconstructionPanelHook(interval=-1)


def test_similarity_before_and_after_also_when_resumed(photo_folder, tmp_path, drawn):
    paths = [str(path) for path in sorted(photo_folder.iterdir())][:2]
    hook = dict(type='SimilarityPanelHook', images=paths, points=[(0.1, 0.9), (0.99, 0.0)], size=48)
    plain = run(photo_folder, tmp_path / 'plain', [], **{'train_cfg.max_epochs': 1})
    first = run(photo_folder, tmp_path / 'run', [hook], **{'train_cfg.max_epochs': 1})
    for key, value in plain.model.state_dict().items():
        assert torch.equal(value, first.model.state_dict()[key]), key
    run(photo_folder, tmp_path / 'run', [hook], resume=True)
    (images, points, maps), (_, _, later) = drawn
    assert images.shape == (2, 48, 48, 3) and points[0] == pytest.approx((4.8, 43.2))
    assert list(maps) == list(later) == ['before training', 'after training']
    assert np.array_equal(maps['before training'], later['before training'])
    assert not np.array_equal(maps['before training'], maps['after training'])
    for each in maps.values():  # 6 × 6 patches; a clicked patch is like itself
        assert each.shape == (2, 6, 6)
        assert each[0, 5, 0] == pytest.approx(1) and each[1, 0, 5] == pytest.approx(1)
    assert (tmp_path / 'run' / 'vis' / 'similarity.png').is_file()
    for name in ('before', 'after'):
        kept = np.load(tmp_path / 'run' / 'vis' / f'similarity_{name}.npz')['maps']
        assert np.array_equal(kept, later[f'{name} training'])


def test_maps_that_cannot_be_written_leave_those_before(photo_folder, tmp_path, monkeypatch):
    images = [str(next(photo_folder.iterdir()))]
    hook = dict(type='SimilarityPanelHook', images=images, points=[(0.1, 0.9)], size=48)
    runner = run(photo_folder, tmp_path, [hook], **{'train_cfg.max_epochs': 1})
    before = {path: path.read_bytes() for path in (tmp_path / 'vis').iterdir()}

    def killed(path, **arrays):
        Path(path).write_bytes(b'a part')
        raise KeyboardInterrupt

    monkeypatch.setattr(similarity_panel.np, 'savez', killed)
    with pytest.raises(KeyboardInterrupt):
        runner.call_hook('after_train')
    assert {path: path.read_bytes() for path in (tmp_path / 'vis').iterdir()} == before


def test_similarity_refuses_in_a_sentence(photo_folder, tmp_path):
    for images, points in [([], []), (['a'], []), (['a'], [(0, 1.0)])]:
        with pytest.raises(ValueError, match=r'coordinates in \[0, 1\)'):
            SimilarityPanelHook(images, points, 32)
    hook = dict(
        type='SimilarityPanelHook',
        images=[str(tmp_path / 'none.jpg')],
        points=[(0.5, 0.5)],
        size=32,
    )
    with pytest.raises(ValueError, match='cannot read the image'):
        run(photo_folder, tmp_path, [hook])
    hook = dict(hook, size=36)
    with pytest.raises(ValueError, match='size must be a multiple of the model.s patch size 8'):
        run(photo_folder, tmp_path, [hook])
