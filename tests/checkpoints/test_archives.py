"""Archives: one checkpoint is read, and nothing is written outside a temporary folder."""

import gzip
import io
import json
import tarfile
import tempfile
import tracemalloc
import zipfile
from collections import namedtuple

import pytest
import torch
from safetensors.torch import save, save_file

from mmc_plugin.checkpoints import archives, file_hash, read_checkpoint

WEIGHTS = dict(weight=torch.randn(64, 64, generator=torch.Generator().manual_seed(0)))


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """All that is unpacked goes here, and nothing of it stays."""
    folder = tmp_path / 'temporary'
    folder.mkdir()
    monkeypatch.setattr(tempfile, 'tempdir', str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def torch_bytes():
    file = io.BytesIO()
    torch.save(dict(state_dict=WEIGHTS, meta=dict(epoch=1)), file)
    return file.getvalue()


def pack(path, members):
    """Write an archive; members are name → bytes, or a TarInfo with bytes or None."""
    if path.suffix == '.zip':
        with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
            for name, data in members:
                archive.writestr(name, data)
        return path
    with tarfile.open(path, 'w' if path.suffix == '.tar' else 'w:gz') as archive:
        for name, data in members:
            entry = name
            if isinstance(name, str):
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
            archive.addfile(entry, None if data is None else io.BytesIO(data))
    return path


KINDS = pytest.mark.parametrize('kind', ['a.tar', 'a.tar.gz', 'a.tgz', 'a.zip'])


@KINDS
@pytest.mark.parametrize('member', ['run/epoch_1.pth', 'model.safetensors'])
def test_one_file(tmp_path, kind, member):
    data = save(WEIGHTS) if member.endswith('s') else torch_bytes()
    path = pack(tmp_path / kind, [('run/readme.md', b'a'), (member, data)])
    checkpoint = read_checkpoint(path)
    content = checkpoint.content.get('state_dict', checkpoint.content)
    assert torch.equal(content['weight'], WEIGHTS['weight'])
    assert checkpoint.path == str(path)
    assert checkpoint.sha256 == file_hash(path)


@KINDS
def test_one_folder(tmp_path, kind):
    config = json.dumps(dict(model_type='vit')).encode()
    members = [
        ('vit/config.json', config), ('vit/model.safetensors', save(WEIGHTS)),
        ('vit/pytorch_model.bin', b''), ('vit/code.py', b'raise SystemExit'),
        ('__MACOSX/vit/._config.json', b'junk'),
    ]  # fmt: skip
    checkpoint = read_checkpoint(pack(tmp_path / kind, members))
    assert checkpoint.kind == 'huggingface' and checkpoint.config == dict(model_type='vit')
    assert torch.equal(checkpoint.content['weight'], WEIGHTS['weight'])


@KINDS
@pytest.mark.parametrize('name', ['../a.pth', '/a.pth', 'b/../../a.pth', 'C:/a.pth', '..\\a.pth'])
def test_names_outside_the_folder_are_refused(tmp_path, kind, name):
    path = pack(tmp_path / kind, [('good.pth', torch_bytes()), (name, b'evil')])
    before = set(tmp_path.rglob('*'))
    with pytest.raises(ValueError, match='is refused: .* lies outside its folder'):
        read_checkpoint(path)
    assert set(tmp_path.rglob('*')) == before


@pytest.mark.parametrize('kind', [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE,
                                  tarfile.BLKTYPE, tarfile.FIFOTYPE])  # fmt: skip
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind):
    entry = tarfile.TarInfo('a.pth')
    entry.type, entry.linkname = kind, '/etc/passwd'
    path = pack(tmp_path / 'a.tar.gz', [(entry, None), ('b.pth', torch_bytes())])
    with pytest.raises(ValueError, match="is refused: 'a.pth' in it is a link or a device"):
        read_checkpoint(path)


def test_links_and_passwords_in_a_zip_are_refused(tmp_path):
    path = tmp_path / 'a.zip'
    entry = zipfile.ZipInfo('a.pth')
    entry.external_attr = 0o120777 << 16
    pack(path, [(entry, b'/etc/passwd')])
    with pytest.raises(ValueError, match='is a link or a device'):
        read_checkpoint(path)


def test_headers_that_grow_without_bound_are_refused(tmp_path):
    """tarfile reads a header in one piece, before a member can be looked at."""
    entry = tarfile.TarInfo('a.pth')
    entry.size, entry.pax_headers = 4, dict(comment='x' * (40 << 20))
    header = entry.tobuf(tarfile.PAX_FORMAT)
    with gzip.open(tmp_path / 'a.tar.gz', 'wb') as file:
        file.write(header + bytes(1024))
    del header, entry
    tracemalloc.start()
    with pytest.raises(ValueError, match='it would grow more than 100 times'):
        read_checkpoint(tmp_path / 'a.tar.gz')
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 << 20


@pytest.mark.parametrize('kind', ['a.tar.gz', 'a.zip'])
def test_what_grows_without_bound_is_refused(tmp_path, kind):
    path = pack(tmp_path / kind, [('a.pth', bytes(20 << 20))])
    assert path.stat().st_size < 1 << 17
    with pytest.raises(ValueError, match='it would grow more than 100 times'):
        read_checkpoint(path)


@KINDS
def test_what_the_disk_cannot_hold_is_refused(tmp_path, kind, monkeypatch):
    usage = namedtuple('usage', 'total used free')(0, 0, 100)
    monkeypatch.setattr(archives.shutil, 'disk_usage', lambda folder: usage)
    with pytest.raises(ValueError, match='0 MB are free in .*temporary: make room'):
        read_checkpoint(pack(tmp_path / kind, [('a.pth', torch_bytes())]))


@KINDS
def test_cut_and_damaged_archives(tmp_path, kind):
    path = pack(tmp_path / kind, [('a.pth', torch_bytes())])
    content = path.read_bytes()
    for length in range(600, len(content) - 1024, 1999):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match='is (damaged or )?cut short'):
            read_checkpoint(path)
    middle = len(content) // 2
    path.write_bytes(content[:middle] + bytes(64) + content[middle + 64 :])
    if kind != 'a.tar':  # which has no checksum over its data
        with pytest.raises(ValueError, match='the archive .* is damaged or cut short'):
            read_checkpoint(path)


@KINDS
def test_none_or_several_checkpoints_are_listed(tmp_path, kind):
    path = pack(tmp_path / kind, [('a.pth', b'1'), ('b/c.pth', b'2')])
    with pytest.raises(ValueError, match=r'one checkpoint \(found: a\.pth, b/c\.pth\): unpack it'):
        read_checkpoint(path)
    path = pack(tmp_path / kind, [('readme.md', b'1')])
    with pytest.raises(ValueError, match=r'one checkpoint \(found: none\)'):
        read_checkpoint(path)


@KINDS
def test_code_inside_is_refused(tmp_path, kind):
    file = io.BytesIO()
    torch.save(dict(a=torch.randn(9, 9), harm=print), file)
    path = pack(tmp_path / kind, [('a.pth', file.getvalue())])
    with pytest.raises(ValueError, match=r'in the archive .*: a\.pth is not read: it holds print'):
        read_checkpoint(path)
    inner = pack(tmp_path / 'inner.tar', [('a.pth', torch_bytes())]).read_bytes()
    path = pack(tmp_path / kind, [('a.pth.tar', inner)])
    with pytest.raises(ValueError, match=r'a\.pth\.tar is an archive of a kind'):
        read_checkpoint(path)


def test_a_file_of_torch_called_tar_is_no_archive(tmp_path):
    """As the releases of MoCo-v3 are called."""
    (tmp_path / 'vit.pth.tar').write_bytes(torch_bytes())
    assert read_checkpoint(tmp_path / 'vit.pth.tar').kind == 'torch'
    save_file(WEIGHTS, tmp_path / 'b.tar')
    assert read_checkpoint(tmp_path / 'b.tar').kind == 'safetensors'
