"""Each sign is found where it was put, and nothing is found in a run that goes well."""

import json
import math

import cv2
import numpy as np
import pytest

from mmc_plugin.errors import InputError
from mmc_plugin.visualization.run_report import find_signs, waiting, write_run_report


def healthy(number=30) -> list[dict]:
    """A loss that falls, at an even pace."""
    return [
        dict(step=i + 1, loss=5 + 3 * math.exp(-i / 10) - 0.02 * i, lr=1e-3, time=0.5,
             data_time=0.01, images_per_second=96.0, codes=100.0, target_entropy=4.25)
        for i in range(number)
    ]  # fmt: skip


def changed(**values):
    """A healthy run in whose last third some scalars are others."""
    records = healthy()
    for place in range(20, 30):
        for key, value in values.items():
            records[place][key] = value(place) if callable(value) else value
    return records


def test_a_healthy_run_has_no_signs():
    assert find_signs(healthy(), []) == []
    assert waiting(healthy())[1] == [0.02] * 30


@pytest.mark.parametrize('records, words', [
    (changed(loss=float('nan')), 'loss was not finite at iteration 21'),
    (changed(codes=4.0), 'the teacher uses 4 prototypes, 100 at its best'),
    ([dict(each, codes=1.0) for each in healthy()], 'the teacher uses 1 prototype, 1 at its'),
    (changed(images_per_second=10.0), 'it has become slower: 10 images/s, 96 at first'),
    ([dict(each, data_time=0.2) for each in healthy()], '40 % of the time goes into waiting'),
    ([dict(each, loss=6.0) for each in healthy()], 'the loss is flat: 6, and 6 in the last third'),
    ([*healthy(), {'step': 31, 'spread/teacher_cls': 0.01}],
     'the features look collapsed: spread/teacher_cls is 0.010'),
])  # fmt: skip
def test_each_sign(records, words):
    (sign,) = find_signs(records, [])
    assert words in sign.what and len(sign.todo) > 30


def test_an_annealed_loss_may_be_flat():
    records = [dict(each, loss=6.0) for each in healthy()]
    records[-1]['lr'] = 1e-6
    assert find_signs(records, []) == []


def test_skipped_steps_and_images():
    events = [dict(event='skipped')] * 4 + [dict(event='rolled back')]
    steps, images = find_signs(healthy(), events, (30, 1000))
    assert steps.what == '4 steps were skipped, and training went back 1 time'
    assert images.what == '30 of 1000 images cannot be read'
    assert find_signs(healthy(), [], (9, 1000)) == []


def test_the_page(tmp_path):
    log = tmp_path / '20260101_000000' / 'vis_data'
    log.mkdir(parents=True)
    log.joinpath('scalars.json').write_text(''.join(json.dumps(r) + '\n' for r in healthy()))
    log.parent.joinpath('x.log').write_text('INFO - Folder scan: 200 images, 0 other files\n')
    (tmp_path / 'skipped_images.json').write_text(json.dumps({f'{i}.jpg': 'cut' for i in range(7)}))
    (tmp_path / 'recovery.jsonl').write_text('{"event": "skipped"}\n{"eve')
    (tmp_path / 'vis').mkdir()
    cv2.imwrite(str(tmp_path / 'vis' / 'reconstruction_epoch_2.png'), np.zeros((8, 8, 3), np.uint8))
    path, signs = write_run_report(tmp_path)
    assert [sign.what for sign in signs] == [
        '1 step was skipped', '7 of 200 images cannot be read',
    ]  # fmt: skip
    text = path.read_text()
    facts = 'iterations</th><td>30<', 'images per second</th><td>96<', '2.0 % of the time'
    facts += 'prototypes in use in a batch</th><td>100, 100 at', 'of the targets</th><td>4.25 nats'
    for words in (*facts, 'pace.png', 'curves.png', 'reconstruction.png', 'skipped_images.json'):
        assert words in text, words
    for name in ('pace.png', 'curves.png', 'reconstruction.png'):
        assert cv2.imread(str(tmp_path / name)) is not None
    pace = cv2.imread(str(tmp_path / 'pace.png'))  # images per second, waiting
    assert all((half < 128).any() for half in np.array_split(pace, 2, axis=1))


def test_what_it_refuses(tmp_path):
    with pytest.raises(FileNotFoundError, match='There are no scalars in'):
        write_run_report(tmp_path)
    log = tmp_path / 'a' / 'vis_data'
    log.mkdir(parents=True)
    log.joinpath('scalars.json').write_text('[]\n')
    with pytest.raises(InputError, match='line 1: not a JSON object'):
        write_run_report(tmp_path)
