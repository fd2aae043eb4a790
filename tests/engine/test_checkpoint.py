import os
import pickle
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from mmc_plugin.durable import write_durably
from mmc_plugin.engine import checkpoint
from mmc_plugin.engine.checkpoint import (
    BrokenCheckpointError,
    find_resumable_checkpoint,
    inspect_checkpoint,
    read_last_checkpoint,
)


def save(path, epoch: int, iteration: int, drop: str = '') -> str:
    """A checkpoint with what mmengine puts into one, numpy objects included."""
    content = dict(
        meta=dict(epoch=epoch, iter=iteration, dataset_meta=dict(classes=('a', 'b'))),
        state_dict=torch.nn.Linear(64, 64).state_dict(),
        optimizer=dict(state={0: dict(step=torch.tensor(3.0))}, param_groups=[dict(lr=0.1)]),
        message_hub=dict(log_scalars=dict(loss=HistoryBuffer([1.0, 2.0], [1, 1]))),
        param_schedulers=[dict(last=np.float64(3), shape=slice(1, 2))],
    )
    content.pop(drop, None)
    torch.save(content, path)
    return str(path)


def cut(path: str, keep: float) -> None:
    with open(path, 'r+b') as file:
        file.truncate(int(os.path.getsize(path) * keep))


def damage(path) -> None:
    """Zero a block of tensor bytes, as a power failure does; the zip's directory stays right."""
    path = Path(path)
    content = bytearray(path.read_bytes())
    start = content.index(b'/data/0') + 2000
    content[start : start + 512] = bytes(512)
    path.write_bytes(content)


def test_a_whole_one_is_read(tmp_path):
    meta = inspect_checkpoint(save(tmp_path / 'a.pth', 3, 30))
    assert meta == dict(epoch=3, iter=30, dataset_meta=dict(classes=('a', 'b')))


BREAK = {
    'empty': (lambda path: cut(path, 0), 'it is empty'),
    'cut early': (lambda path: cut(path, 0.1), 'it is cut short'),
    'cut late': (lambda path: cut(path, 0.99), 'it is cut short'),
    'zeroed block': (damage, 'is damaged'),
    'text': (lambda path: Path(path).write_text('not one'), 'it is cut short or no check'),
    'no optimizer': (lambda path: save(path, 2, 20, 'optimizer'), 'it has no optimizer'),
    'no weights': (lambda path: save(path, 2, 20, 'state_dict'), 'it has no state_dict'),
    'no meta': (lambda path: save(path, 2, 20, 'meta'), 'it has no meta'),
    'tensor': (lambda path: torch.save(torch.ones(2), path), 'it has no meta and no state_dict'),
    'folder': (lambda path: (os.remove(path), os.mkdir(path)), 'it cannot be read'),
}


@pytest.mark.parametrize('kind', BREAK)
def test_a_broken_one_is_passed_over_and_said(tmp_path, kind, monkeypatch):
    whole = save(tmp_path / 'epoch_1.pth', 1, 10)
    broken = save(tmp_path / 'epoch_2.pth', 2, 20)
    write_durably(str(tmp_path / 'last_checkpoint'), broken)
    spoil, reason = BREAK[kind]
    spoil(broken)
    with pytest.raises(BrokenCheckpointError, match=reason):
        inspect_checkpoint(broken)
    said = []
    monkeypatch.setattr(checkpoint, 'print_log', lambda text, logger, level: said.append(text))
    assert find_resumable_checkpoint(str(tmp_path)) == whole
    assert len(said) == 1
    assert said[0].startswith(f'The checkpoint {broken} is passed over: ')
    assert reason in said[0]


def test_no_code_runs(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'ran'),)

    content = dict(meta=dict(epoch=1, iter=1, evil=Evil()), state_dict={}, optimizer={})
    torch.save(content, tmp_path / 'epoch_1.pth')
    assert find_resumable_checkpoint(str(tmp_path)) == str(tmp_path / 'epoch_1.pth')
    assert not (tmp_path / 'ran').exists()
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / 'epoch_1.pth', weights_only=True)


def test_what_claims_too_much_is_passed_over(tmp_path):
    """The outline goes through the check of its opcodes before an unpickler sees it."""
    path = save(tmp_path / 'epoch_1.pth', 1, 10)
    with zipfile.ZipFile(path) as archive:
        entries = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(path, 'w') as archive:
        for name, data in entries:
            if name.endswith('data.pkl'):  # an index for which a table of 16 GiB would be made
                data = data[:-1] + b'r' + (1 << 31).to_bytes(4, 'little') + b'.'
            archive.writestr(name, data)
    with pytest.raises(BrokenCheckpointError, match='takes more memory than it has bytes'):
        inspect_checkpoint(path)
    assert find_resumable_checkpoint(str(tmp_path)) is None


def test_nothing_to_resume(tmp_path):
    assert find_resumable_checkpoint(str(tmp_path / 'absent')) is None
    save(tmp_path / 'best_acc_epoch_3.pth', 3, 30)
    save(tmp_path / 'epoch_3-abcdef12.pth', 3, 30)
    save(tmp_path / 'epoch_4.pth.tmp', 4, 40)
    assert find_resumable_checkpoint(str(tmp_path)) is None


def test_newest_by_number_not_by_name_or_time(tmp_path):
    newest = save(tmp_path / 'epoch_10.pth', 10, 100)
    for epoch in (9, 2):
        save(tmp_path / f'epoch_{epoch}.pth', epoch, epoch * 10)
    write_durably(str(tmp_path / 'last_checkpoint'), str(tmp_path / 'epoch_9.pth'))
    assert find_resumable_checkpoint(str(tmp_path)) == newest


def test_most_iterations_of_both_kinds(tmp_path):
    save(tmp_path / 'epoch_2.pth', 2, 20)
    newest = save(tmp_path / 'iter_25.pth', 2, 25)
    assert find_resumable_checkpoint(str(tmp_path)) == newest
    whole_epoch = save(tmp_path / 'epoch_3.pth', 3, 30)
    save(tmp_path / 'iter_30.pth', 2, 30)
    assert find_resumable_checkpoint(str(tmp_path)) == whole_epoch


def test_last_checkpoint_names_another_folder_or_name(tmp_path):
    work_dir, other = tmp_path / 'work', tmp_path / 'other'
    work_dir.mkdir()
    other.mkdir()
    named = save(other / 'mine.pth', 3, 30)
    (work_dir / 'last_checkpoint').write_text(named)
    assert find_resumable_checkpoint(str(work_dir)) == named
    older = save(other / 'epoch_2.pth', 2, 20)
    cut(named, 0.5)
    assert find_resumable_checkpoint(str(work_dir)) == older


def test_empty_or_stale_last_checkpoint(tmp_path):
    whole = save(tmp_path / 'epoch_1.pth', 1, 10)
    last = tmp_path / 'last_checkpoint'
    for content in ('', '\n', '/nowhere/epoch_7.pth', '\x00' * 20):
        last.write_text(content)
        assert find_resumable_checkpoint(str(tmp_path)) == whole
    last.write_text(' a b.pth\n')
    assert read_last_checkpoint(str(tmp_path)) == 'a b.pth'


def test_checking_is_quick(tmp_path):
    path = tmp_path / 'epoch_1.pth'
    weights = {str(i): torch.rand(1 << 20) for i in range(50)}  # 200 MB
    torch.save(dict(meta=dict(epoch=1, iter=1), state_dict=weights, optimizer={}), path)
    start = time.perf_counter()
    inspect_checkpoint(str(path))
    assert time.perf_counter() - start < 10


def test_what_is_no_file_or_says_nonsense(tmp_path):
    os.mkfifo(tmp_path / 'epoch_1.pth')
    with pytest.raises(BrokenCheckpointError, match='is a pipe'):
        inspect_checkpoint(str(tmp_path / 'epoch_1.pth'))
    path = tmp_path / 'epoch_2.pth'
    for meta in (None, 3, [], dict(epoch='2', iter=3)):
        torch.save(dict(meta=meta, state_dict={}, optimizer={}), path)
        with pytest.raises(BrokenCheckpointError, match='does not say epoch and iter'):
            inspect_checkpoint(str(path))
