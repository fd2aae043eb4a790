"""What a row of the comparison shows of the tests of its checkpoint."""

import json

import pytest

from mmc_plugin.visualization.comparison_page import read_row


def report(folder, test, config, numbers):
    path = folder / test / '20260101_000000' / f'{test}.json'
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(dict(config=config, numbers=numbers)))


def test_figures_of_its_protocol_or_else_plain_numbers(tmp_path):
    numbers = dict(images=120, miou={'0.1': 0.5, '0.4': 0.25}, everything=0.1)
    report(tmp_path, 'vit_coco', '/a/configs/zero_shot/vit_coco.py', numbers)
    report(tmp_path, 'mine', 'mine.py', dict(score=3, whole=True, parts={'a': 1}))
    assert read_row('a', tmp_path, None).scores == pytest.approx(
        {'mIoU at τ 0.1': 50, 'mIoU at τ 0.4': 25, 'mine score': 3}
    )


def test_a_run_whose_features_were_not_finite_has_no_accuracy(tmp_path):
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / 'feature_monitor.jsonl').write_text('{"epoch": 3, "iter": 9}\n')
    assert read_row('a', tmp_path, None).scores == {'epochs': 3}
