import pytest

from mmc_plugin.checkpoints.export.destination import refuse_existing, whole


def test_appears_only_when_it_is_whole(tmp_path):
    target = tmp_path / 'new' / 'a.bin'
    with whole(str(target)) as path:
        with open(path, 'w') as file:
            file.write('half')
        assert not target.exists()
    assert target.read_text() == 'half'
    assert [each.name for each in target.parent.iterdir()] == ['a.bin']


def test_a_failure_leaves_what_was_there(tmp_path):
    target = tmp_path / 'a.bin'
    target.write_text('old')
    with pytest.raises(RuntimeError), whole(str(target)) as path:
        with open(path, 'w') as file:
            file.write('half')
        raise RuntimeError
    assert target.read_text() == 'old'
    assert [each.name for each in tmp_path.iterdir()] == ['a.bin']


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
