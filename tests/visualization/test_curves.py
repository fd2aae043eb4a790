import json
import os
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmc_plugin.errors import InputError
from mmc_plugin.visualization import curves
from mmc_plugin.visualization.curves import training_curves
from mmc_plugin.visualization.run_log import read_scalars, series

TOOL = Path(__file__).parents[2] / 'tools' / 'analysis' / 'plot_curves.py'


def write(run_dir, stamp, records, tail=''):
    path = run_dir / stamp / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text(''.join(json.dumps(each) + '\n' for each in records) + tail)


def record(step, **keys):
    return dict(
        step=step,
        lr=0.1,
        loss=2.0 * step,
        loss_rec=float(step),
        loss_cls=-float(step),
        time=3,
        **keys,
    )


@pytest.fixture
def figures(monkeypatch):
    """The figures that are drawn."""
    drawn, original = [], curves.new_figure
    monkeypatch.setattr(
        curves, 'new_figure', lambda *size: drawn.append(original(*size)) or drawn[-1]
    )
    return drawn


def test_reads_a_resumed_run_as_one(tmp_path):
    write(tmp_path, '20260101_000000', [record(step, old=1) for step in (10, 20, 30)])
    write(tmp_path, '20260102_000000', [record(step) for step in (20, 30)], '{"step": 4')
    write(tmp_path, '20260103_000000', [])
    records = read_scalars(str(tmp_path))
    assert series(records, 'loss_rec') == ([10, 20, 30], [10.0, 20.0, 30.0])
    assert series(records, 'old') == ([10], [1])


def test_reads_the_latest_of_two_runs_in_one_folder(tmp_path):
    write(tmp_path, '20260101_000000', [record(step, old=1) for step in (10, 20)])
    write(tmp_path, '20260102_000000', [record(step) for step in (5, 10)])
    assert series(read_scalars(str(tmp_path)), 'loss')[0] == [5, 10]


def test_no_scalars_is_a_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match='There are no scalars'):
        read_scalars(str(tmp_path))


def test_plots_each_loss_apart_and_features_together(figures):
    first = [record(1), {'step': 1, 'knn/a_k10': 5.0, 'knn/b_k10': 6.0}, record(2)]
    picture = training_curves({'one': first, 'two': [record(1), record(3)]})
    assert picture.dtype == np.uint8 and picture.ndim == 3
    shown = {
        axis.get_title(): {line.get_label(): line.get_xydata().tolist() for line in axis.lines}
        for axis in figures[0].axes
        if axis.get_visible()
    }
    assert shown == {
        'reconstruction loss': {'one': [[1, 1], [2, 2]], 'two': [[1, 1], [3, 3]]},
        'class token loss': {'one': [[1, -1], [2, -2]], 'two': [[1, -1], [3, -3]]},
        'learning rate': {'one': [[1, 0.1], [2, 0.1]], 'two': [[1, 0.1], [3, 0.1]]},
        'k-NN accuracy, %\na k10 solid, b k10 dashed': {'one': [[1, 5]], '_one b k10': [[1, 6]]},
    }
    # One legend for all plots: the runs in the colours of their lines.
    (legend,) = figures[0].legends
    assert [text.get_text() for text in legend.get_texts()] == ['one', 'two']
    colours = [line.get_color() for line in figures[0].axes[0].lines]
    assert [line.get_color() for line in legend.get_lines()] == colours
    assert not any(axis.get_legend() for axis in figures[0].axes)


@pytest.mark.parametrize('count, length', [(9, 4), (9, 20), (9, 60), (60, 25)])
def test_names_of_many_runs_stay_inside_the_picture(count, length, figures):
    runs = {f'{number:02}'.ljust(length, 'w'): [record(1), record(2)] for number in range(count)}
    training_curves(runs)
    figure = figures[0]
    box, page = figure.legends[0].get_window_extent(), figure.bbox
    assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1
    assert min(axis.get_window_extent().height for axis in figure.axes) > 100
    assert min(box.y0 - axis.get_window_extent().y1 for axis in figure.axes) > 0


def test_prototypes_in_use_and_the_entropy_of_targets_are_drawn_where_a_run_logs_them(figures):
    used = [record(step, codes=40.0 - step, target_entropy=step / 2) for step in (1, 2)]
    for runs in (dict(dino=used), dict(mmc=[record(1), record(2)], dino=used)):
        training_curves(runs)
        lines = {
            axis.get_title(): [line.get_ydata().tolist() for line in axis.lines]
            for axis in figures[-1].axes
        }
        assert lines['prototypes in use in a batch'] == [[39, 38]]
        assert lines['entropy of the targets, nats'] == [[0.5, 1]]


def test_a_run_without_a_teacher_shows_its_student(figures):
    runs = {
        'one': [{'step': 1, 'knn/teacher_cls_k10': 5.0, 'knn/student_cls_k10': 6.0}],
        'two': [{'step': 1, 'knn/student_cls_k10': 7.0}],
    }
    training_curves(runs)
    lines = figures[0].axes[0].lines
    assert {line.get_label(): line.get_ydata().tolist() for line in lines} == {
        'one': [5],
        'two': [7],
    }


def test_of_several_runs_the_teacher_and_the_smallest_k():
    keys = [
        'knn/student_cls_k10',
        'knn/teacher_cls_k10',
        'knn/teacher_cls_k5',
        'knn/teacher_pat_k10',
        'knn/teacher_pat_k5',
    ]
    assert curves._to_compare(keys) == ['knn/teacher_cls_k5', 'knn/teacher_pat_k5']
    assert curves._to_compare(['spread/student_cls']) == ['spread/student_cls']


def test_nothing_to_plot_is_a_sentence():
    with pytest.raises(ValueError, match='nothing to plot'):
        training_curves({'a': [dict(step=1, time=2)]})


@pytest.mark.parametrize(
    'line',
    [
        '[1, 2]',
        '3',
        'null',
        '{"loss": 1}',
        '{"step": "1", "loss": 1}',
        '{"step": true}',
        '{"step": 1e3}',
        f'{{"step": {10**400}}}',
        f'{{"step": {"9" * 5000}}}',
        '{"step": 1, "loss": ' + '[' * 200_000 + ']' * 200_000 + '}',
        '\udcff',
        '{"step": 1',
    ],
    ids=lambda line: line[:12],
)
def test_a_line_that_is_no_record_is_named(tmp_path, line):
    write(tmp_path, '20260101_000000', [record(1)])
    path = tmp_path / '20260101_000000' / 'vis_data' / 'scalars.json'
    path.write_bytes(path.read_bytes() + line.encode(errors='surrogateescape') + b'\n')
    with pytest.raises(InputError, match="scalars.json', line 2: not a JSON object"):
        read_scalars(str(tmp_path))


@pytest.mark.parametrize('target', ['/dev/zero', 'pipe', 'sparse'])
def test_a_log_that_does_not_end_is_not_read(tmp_path, target):
    path = tmp_path / '20260101_000000' / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    if target == 'pipe':
        os.mkfifo(path)
    elif target == 'sparse':
        path.touch()
        os.truncate(path, 2**40)
    else:
        path.symlink_to(target)
    with pytest.raises(InputError, match='scalars.json. is (not a file|larger than 128 MiB)'):
        read_scalars(str(tmp_path))


def test_only_numbers_are_drawn():
    odd = [None, 'x', [1], True, {}, 10**400]
    records = [dict(step=step, loss=value) for step, value in enumerate([1.5, *odd, 2])]
    assert series(records, 'loss') == ([0, 7], [1.5, 2])
    records += [dict(step=9, loss=value) for value in (1e308, -1e308, float('nan'), float('inf'))]
    assert training_curves({'a': records}).std() > 0


def test_names_are_no_formulas_and_short(figures):
    key = 'loss_$\\frac{$'
    first = {'step': 1, key: 1.0, 'loss_' + 'x' * 10**6: 2.0}
    training_curves({'$\\x$' + 'y' * 10**6: [first], 'b': [first]})
    titles = [axis.get_title() for axis in figures[0].axes]
    assert titles[:2] == [key, 'loss_' + 'x' * 54 + '…']


def test_thousands_of_losses_or_runs_are_refused():
    many = [dict(step=1, **{f'loss_{number}': 1.0 for number in range(3000)})]
    with pytest.raises(InputError, match='3000 plots of 3000 lines.*at most 24 plots'):
        training_curves({'a': many})
    with pytest.raises(InputError, match='1 plots of 201 lines'):
        training_curves({str(number): [dict(step=1, lr=1)] for number in range(201)})


def test_tool_writes_a_png(tmp_path, monkeypatch, capsys):
    write(tmp_path / 'run', '20260101_000000', [record(1), record(2)])

    def call(*arguments):
        monkeypatch.setattr(sys, 'argv', ['plot_curves.py', *map(str, arguments)])
        runpy.run_path(str(TOOL), run_name='__main__')

    call(tmp_path / 'run')
    assert cv2.imread(str(tmp_path / 'run' / 'curves.png')).std() > 0
    call(tmp_path / 'run', tmp_path / 'run', '--out', tmp_path / 'two.png')
    assert (tmp_path / 'two.png').is_file()
    write(tmp_path / 'mmc' / 'run', '20260101_000000', [record(1)])
    seen = []
    monkeypatch.setattr(
        curves, 'training_curves', lambda runs: seen.extend(runs) or np.eye(9)[..., None]
    )
    call(tmp_path / 'mmc' / 'run', tmp_path / 'run', '--out', tmp_path / 'two.png')
    assert seen == ['mmc/run', 'run']  # what tells them apart
    monkeypatch.undo()
    with pytest.raises(SystemExit, match='There are no scalars'):
        call(tmp_path)
    with pytest.raises(SystemExit, match='x.abc.* has no ending of a picture'):
        call(tmp_path / 'run', '--out', tmp_path / 'x.abc')
    with pytest.raises(SystemExit, match='cannot be written'):
        call(tmp_path / 'run', '--out', tmp_path / 'none' / 'x.png')
