"""Older checkpoints lose what only a resumed run reads, and nothing is ever lost with it."""

import os
import signal

import pytest
import torch

from mmc_plugin.apis import load_backbone
from mmc_plugin.engine import weights_only
from mmc_plugin.engine.checkpoint import find_resumable_checkpoint
from mmc_plugin.engine.weights_only import OlderCheckpoints


def save(path, epoch: int) -> dict:
    model = torch.nn.Linear(32, 32)
    content = dict(
        meta=dict(epoch=epoch, iter=10 * epoch, cfg='a = 1'),
        state_dict=model.state_dict(),
        optimizer=dict(state={0: dict(exp_avg=torch.rand(32, 32))}, param_groups=[dict(lr=0.1)]),
        message_hub=dict(log_scalars={}),
        param_schedulers=[],
    )
    torch.save(content, path)
    return content


@pytest.fixture
def folder(tmp_path):
    for epoch in (9, 10, 11, 12):
        save(tmp_path / f'epoch_{epoch}.pth', epoch)
    save(tmp_path / 'best_acc_epoch_8.pth', 8)
    save(tmp_path / 'epoch_.pth', 1)
    (tmp_path / 'epoch_7.pth').mkdir()
    (tmp_path / 'epoch_6.pth').symlink_to(tmp_path / 'epoch_12.pth')
    return tmp_path


def kept(path) -> set[str]:
    return set(torch.load(path, weights_only=True))


def test_all_but_the_newest(folder):
    before = torch.load(folder / 'epoch_9.pth')
    whole = {p.name: p.read_bytes() for p in folder.glob('*.pth') if p.is_file()}
    OlderCheckpoints(str(folder), 'epoch_{}.pth', 2).lighten(12)
    after = torch.load(folder / 'epoch_9.pth')
    assert set(after) == {'meta', 'state_dict'} and after['meta'] == before['meta']
    for name, value in before['state_dict'].items():
        assert torch.equal(after['state_dict'][name], value)
    assert kept(folder / 'epoch_10.pth') == {'meta', 'state_dict'}
    for name in ('epoch_11.pth', 'epoch_12.pth', 'best_acc_epoch_8.pth', 'epoch_.pth'):
        assert (folder / name).read_bytes() == whole[name]
    assert (folder / 'epoch_6.pth').is_symlink() and (folder / 'epoch_7.pth').is_dir()
    assert not list(folder.glob('*.tmp'))


def test_a_run_that_goes_back_keeps_what_it_has_just_written(folder):
    """From epoch 9, in a folder where 11 and 12 lie of another time."""
    (folder / 'epoch_6.pth').unlink()
    whole = {p.name: p.read_bytes() for p in folder.glob('*.pth') if p.is_file()}
    OlderCheckpoints(str(folder), 'epoch_{}.pth', 1).lighten(10)
    assert kept(folder / 'epoch_9.pth') == {'meta', 'state_dict'}
    for name in ('epoch_10.pth', 'epoch_11.pth', 'epoch_12.pth'):
        assert (folder / name).read_bytes() == whole[name]


def test_a_run_goes_on_from_a_whole_one(folder, monkeypatch):
    OlderCheckpoints(str(folder), 'epoch_{}.pth', 2).lighten(12)
    (folder / 'epoch_6.pth').unlink()
    (folder / 'epoch_12.pth').write_bytes(b'')
    assert find_resumable_checkpoint(str(folder)) == str(folder / 'epoch_11.pth')
    (folder / 'epoch_11.pth').write_bytes(b'')
    said = []
    monkeypatch.setattr(
        'mmc_plugin.engine.checkpoint.print_log', lambda text, **_: said.append(text)
    )
    (folder / 'epoch_7.pth').rmdir()
    assert find_resumable_checkpoint(str(folder)) is None
    assert any('epoch_9.pth is passed over: it has no optimizer, as older' in each for each in said)


@pytest.mark.parametrize('instant', ['half written', 'before rename', 'after rename'])
def test_killed_at_any_instant(instant, folder):
    path = folder / 'epoch_9.pth'
    expected = torch.load(path)['state_dict']
    child = os.fork()
    if not child:
        write, replace = torch.save, os.replace

        def half(content, to):
            write(content, to)
            os.truncate(to, os.path.getsize(to) // 2)
            os.kill(os.getpid(), signal.SIGKILL)

        def rename(*names):
            if instant == 'after rename':
                replace(*names)
            os.kill(os.getpid(), signal.SIGKILL)

        if instant == 'half written':
            torch.save = half
        os.replace = rename
        try:
            OlderCheckpoints(str(folder), 'epoch_{}.pth', 2).lighten(12)
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    found = torch.load(path)
    assert ('optimizer' in found) == (instant != 'after rename')
    assert all(torch.equal(found['state_dict'][name], expected[name]) for name in expected)
    OlderCheckpoints(str(folder), 'epoch_{}.pth', 2).lighten(12)  # of the run that goes on
    assert kept(path) == kept(folder / 'epoch_10.pth') == {'meta', 'state_dict'}


def test_what_fails_is_left_whole_and_said(folder, monkeypatch):
    (folder / 'epoch_9.pth').write_bytes(b'PK\x03\x04junk')
    whole = (folder / 'epoch_10.pth').read_bytes()
    said = []
    monkeypatch.setattr(weights_only, 'print_log', lambda text, **_: said.append(text))

    def full(content, path):
        with open(path, 'wb') as file:
            file.write(b'some')
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(torch, 'save', full)
    older = OlderCheckpoints(str(folder), 'epoch_{}.pth', 2)
    older.lighten(12)
    assert [each.split()[0].rpartition('/')[2] for each in said] == ['epoch_9.pth', 'epoch_10.pth']
    assert 'cut short or damaged' in said[0] and 'No space left' in said[1]
    assert (folder / 'epoch_9.pth').read_bytes() == b'PK\x03\x04junk'
    assert (folder / 'epoch_10.pth').read_bytes() == whole
    assert not list(folder.glob('*.tmp'))
    older.lighten(12)
    assert len(said) == 2  # once


def test_the_loader_reads_what_is_left(tmp_path):
    """With the number of heads, which only the config in ``meta`` tells."""
    from mmpretrain.models import VisionTransformer

    arch = dict(embed_dims=32, num_layers=1, num_heads=4, feedforward_channels=64)
    settings = dict(type='VisionTransformer', arch=arch, img_size=16, patch_size=8)
    model = VisionTransformer(**{k: v for k, v in settings.items() if k != 'type'})
    state = {f'backbone.{name}': value for name, value in model.state_dict().items()}
    meta = dict(epoch=1, iter=1, cfg=f"model = dict(type='MMC', backbone={settings!r})")
    for epoch in (1, 2):
        content = dict(meta=meta, state_dict=state, optimizer={})
        torch.save(content, tmp_path / f'epoch_{epoch}.pth')
    OlderCheckpoints(str(tmp_path), 'epoch_{}.pth', 1).lighten(2)
    light, whole = (load_backbone(tmp_path / f'epoch_{epoch}.pth', 'student') for epoch in (1, 2))
    assert light.arch_settings['num_heads'] == 4
    image = torch.rand(1, 3, 16, 16)
    assert torch.equal(light(image)[0], whole(image)[0])
