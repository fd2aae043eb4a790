"""What is removed is a checkpoint of the run, by name, place and kind."""

import pytest

from mmc_plugin.engine.removal import OwnCheckpoints, keep_ids


@pytest.fixture
def own(tmp_path):
    (tmp_path / 'run').mkdir()
    return OwnCheckpoints(str(tmp_path / 'run'), 'epoch_{}.pth')


@pytest.mark.parametrize('name', [
    'epoch_3.pth', 'best_acc_epoch_3.pth', 'best_a_b_epoch_3.pth', 'epoch_3.pth.tmp'
])  # fmt: skip
def test_files_by_the_name_of_the_hook(own, tmp_path, name):
    path = tmp_path / 'run' / name
    path.write_text('')
    for named in (str(path), f'/somewhere/else/{name}', name):
        assert own.find(named) == str(path)
    own.remove(str(path))
    assert not path.exists()
    assert own.find(str(path)) is None


@pytest.mark.parametrize('name', [
    'iter_3.pth', 'epoch_.pth', 'epoch_3.pth.bak', 'my_epoch_3.pth', 'best_.pth', 'best.pth',
    'epoch_3xpth', 'last_checkpoint', 'epoch_3.pth\n',
])  # fmt: skip
def test_other_names(own, tmp_path, name):
    path = tmp_path / 'run' / name
    path.write_text('')
    own.remove(str(path))
    assert path.exists()


def test_folders_of_others_and_links(own, tmp_path):
    kept = tmp_path / 'kept'
    kept.mkdir()
    (kept / 'rank0.pth').write_text('')
    (tmp_path / 'run' / 'epoch_1.pth').symlink_to(kept, target_is_directory=True)
    (tmp_path / 'run' / 'epoch_2.pth').symlink_to(kept / 'rank0.pth')
    (tmp_path / 'run' / 'epoch_3.pth' / 'inner').mkdir(parents=True)
    (tmp_path / 'run' / 'epoch_4.pth').mkdir()
    (tmp_path / 'run' / 'epoch_4.pth' / 'rank0.pth').symlink_to(kept / 'rank0.pth')
    before = set(tmp_path.rglob('*'))
    for number in range(1, 5):
        own.remove(str(tmp_path / 'run' / f'epoch_{number}.pth'))
    own.remove(None)
    assert set(tmp_path.rglob('*')) == before


@pytest.mark.parametrize('names', [
    ['rank0.pth', 'rank11.pth'],
    ['__0_0.distcp', '.metadata'],
    ['mp_rank_00_model_states.pt', 'bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt'],
    ['rank0.pth.tmp'],
])  # fmt: skip
def test_sharded_checkpoints(own, tmp_path, names):
    folder = tmp_path / 'run' / 'epoch_3.pth'
    folder.mkdir()
    for name in names:
        (folder / name).write_text('')
    (folder / 'notes.txt').write_text('')
    own.remove(str(folder))
    assert (folder / names[0]).exists()
    (folder / 'notes.txt').unlink()
    own.remove(str(folder))
    assert not folder.exists()


def test_numbers_only():
    assert keep_ids([3, '../x', -1, True, 4.0, None, 5]) == [3, 5]
    assert keep_ids('34') == keep_ids(None) == keep_ids({3: 4}) == []
