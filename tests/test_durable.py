"""Files are whole or absent, and what was there stays until the new one is."""

import os

import pytest

from mmc_plugin import durable
from mmc_plugin.durable import replace_durably, write_durably, written_whole


def names(folder):
    return sorted(each.name for each in folder.iterdir())


@pytest.mark.parametrize('kind', ['file', 'folder'])
@pytest.mark.parametrize('there', [False, True])
def test_a_file_or_folder_is_replaced(tmp_path, kind, there):
    source, target = tmp_path / 'a.tmp', tmp_path / 'a'
    for path, text in ((target, 'old'), (source, 'new')):
        if kind == 'folder':
            path.mkdir()
            path = path / 'rank0.pth'
        path.write_text(text)
    if not there:
        os.rename(target, tmp_path.parent / f'{tmp_path.name}.gone')
    replace_durably(str(source), str(target))
    assert names(tmp_path) == ['a']
    assert (target / 'rank0.pth' if kind == 'folder' else target).read_text() == 'new'


@pytest.mark.parametrize('kind', ['file', 'folder'])
def test_what_was_there_stays_if_it_cannot_be_replaced(tmp_path, kind, monkeypatch):
    target = tmp_path / 'a'
    old = target if kind == 'file' else target / 'old'
    old.parent.mkdir(exist_ok=True)
    old.write_text('old')

    def fail(*args):
        raise OSError('disk full')

    monkeypatch.setattr(os, 'replace', fail)
    with pytest.raises(OSError, match='disk full'), written_whole(str(target)) as path:
        if kind == 'folder':
            os.mkdir(path)
            path = os.path.join(path, 'new')
        with open(path, 'w') as file:
            file.write('new')
    if kind == 'file':
        with pytest.raises(OSError, match='disk full'):
            write_durably(target, 'new')
    assert names(tmp_path) == ['a'] and old.read_text() == 'old'


def test_content_reaches_the_disk_before_the_name(tmp_path, monkeypatch):
    events, replace = [], os.replace
    monkeypatch.setattr(durable, '_sync', lambda path: events.append(os.path.basename(path)))
    monkeypatch.setattr(os, 'replace', lambda *paths: (events.append('rename'), replace(*paths)))
    write_durably(tmp_path / 'a', 'text')
    assert events == ['a.tmp', 'rename', tmp_path.name]


@pytest.mark.parametrize('content', ['ü\n', b'\xff\r\n'])
def test_texts_and_bytes_are_written_as_they_are(tmp_path, content):
    write_durably(str(tmp_path / 'a'), content)
    expected = content.encode() if isinstance(content, str) else content
    assert (tmp_path / 'a').read_bytes() == expected and names(tmp_path) == ['a']


def test_several_files_appear_together_and_the_named_one_last(tmp_path):
    target = tmp_path / 'new' / 'a.bin'
    with written_whole(str(target)) as path:
        for each in (path, path + '.data', path + '.md'):
            with open(each, 'w') as file:
                file.write('whole')
        assert not target.exists()
    assert names(target.parent) == ['a.bin', 'a.bin.data', 'a.bin.md']


def test_a_failure_leaves_what_was_there(tmp_path):
    target = tmp_path / 'a.bin'
    target.write_text('old')
    with pytest.raises(RuntimeError), written_whole(str(target)) as path:
        with open(path, 'w') as file:
            file.write('half')
        raise RuntimeError
    assert target.read_text() == 'old' and names(tmp_path) == ['a.bin']


@pytest.mark.parametrize('write', ['whole', 'durably'])
def test_a_file_takes_no_folders_place(tmp_path, write):
    target = tmp_path / 'a'
    target.mkdir()
    (target / 'precious').write_text('old')
    with pytest.raises(FileExistsError, match='a is a folder, and a file would be written'):
        if write == 'durably':
            write_durably(target, 'new')
        else:
            with written_whole(str(target)) as path, open(path, 'w') as file:
                file.write('new')
    assert names(tmp_path) == ['a'] and (target / 'precious').read_text() == 'old'
