import hashlib
import json

import numpy as np
import pytest
import torch

from mmc_plugin.evaluation import report
from mmc_plugin.evaluation.report import source_hash, write_report


def test_a_report_holds_protocol_checkpoint_and_plain_numbers(tmp_path):
    weights = tmp_path / 'weights.pth'
    weights.write_bytes(b'x' * 5_000_000)
    path = tmp_path / 'new' / 'report.json'
    numbers = dict(
        miou=np.float32(0.5),
        curve=torch.tensor([0.25, 0.5]),
        per={3: (1, None)},
        missing=float('nan'),
        many=np.arange(2),
        yes=np.bool_(True),
    )
    write_report(str(path), 'one click', 'a.py', str(weights), numbers)
    found = json.loads(path.read_text())
    assert found['protocol'] == 'one click' and found['config'] == 'a.py'
    assert found['checkpoint'] == dict(
        path=str(weights), sha256=hashlib.sha256(weights.read_bytes()).hexdigest()
    )
    assert found['numbers'] == dict(
        miou=0.5, curve=[0.25, 0.5], per={'3': [1, None]}, missing=None, many=[0, 1], yes=True
    )
    assert [p.name for p in path.parent.iterdir()] == ['report.json']


def test_names_and_folders_without_weights_have_no_hash(tmp_path):
    assert source_hash('timm:vit_tiny') is None
    (tmp_path / 'README.md').write_bytes(b'2')
    assert source_hash(str(tmp_path)) is None
    write_report(str(tmp_path / 'r.json'), 'p', None, None, {})
    assert json.loads((tmp_path / 'r.json').read_text())['checkpoint'] is None


def test_a_failed_write_leaves_the_old_report(tmp_path, monkeypatch):
    path = str(tmp_path / 'r.json')
    write_report(path, 'first', None, None, {})

    def fail(*args, **kwargs):
        raise OSError('disk full')

    monkeypatch.setattr(report.json, 'dumps', fail)
    with pytest.raises(OSError):
        write_report(path, 'second', None, None, {})
    monkeypatch.undo()
    assert json.loads((tmp_path / 'r.json').read_text())['protocol'] == 'first'
