"""Runs compared: rows are trained once, scored, and a row that fails harms no other."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from scipy.stats import kendalltau

from mmc_plugin.visualization.comparison_page import Row, order
from mmc_plugin.visualization.run_log import read_scalars

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / 'tests' / 'configs' / 'tiny_mmc.py'


def compare(capsys, *arguments) -> tuple[int, str]:
    """Exit code and output of the tool, run in this process; it starts others by itself."""
    path = ROOT / 'tools' / 'analysis' / 'compare_runs.py'
    before = sys.argv
    sys.argv = [str(path), *map(str, arguments)]
    try:
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(path), run_name='__main__')
    finally:
        sys.argv = before
    shown = capsys.readouterr()
    text = shown.out + shown.err
    code = ended.value.code
    return (code, text) if isinstance(code, int | None) else (1, text + str(code))


@pytest.fixture(scope='module')
def folder(photo_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp('compared')
    for name in ('train', 'val'):
        for i, photo in enumerate(sorted(photo_folder.glob('*.jpg'))):
            for copy in '12':  # twenty, as many as the monitor looks at
                link = folder / 'data' / name / 'ab'[i % 2] / f'{copy}_{photo.name}'
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(photo)
    small = (
        f'_base_ = [{str(TINY)!r}]\n'
        'train_dataloader = dict(num_workers=0, persistent_workers=False)\n'
        'default_hooks = dict(features=dict(resize=32, crop=32))\n'
    )
    (folder / 'good.py').write_text(small)
    (folder / 'broken.py').write_text(small + "model = dict(backbone=dict(type='NoSuchViT'))\n")
    (folder / 'paper.json').write_text(json.dumps(dict(good={'k-NN CLS': 50.0})))
    return folder


def test_rows_are_trained_once_and_a_row_that_fails_harms_no_other(folder, capsys):
    command = [folder / 'broken.py', folder / 'good.py', '--data', folder / 'data', '--out',
               folder / 'out', '--epochs', '2', '--paper', folder / 'paper.json']  # fmt: skip
    code, text = compare(capsys, *command)
    assert code == 1 and 'broken: failed' in text and 'NoSuchViT' in text
    log = folder / 'out' / 'good' / 'run' / 'feature_monitor.jsonl'
    last = json.loads(log.read_text().splitlines()[-1])
    table = json.loads((folder / 'out' / 'table.json').read_text())
    broken, good = table['rows']
    assert broken['scores'] == {} and 'NoSuchViT' in broken['problem']
    assert good['scores'] == {
        'epochs': 2, 'k-NN CLS': last['knn/teacher_cls_k10'],
        'k-NN PAT': last['knn/teacher_pat_k10'],
    }  # fmt: skip
    lines = (folder / 'out' / 'table.md').read_text().splitlines()
    assert lines[0] == '| run | epochs | k-NN CLS | k-NN CLS, paper | k-NN PAT |'
    assert lines[3].startswith('| good | 2 |') and '| 50 |' in lines[3]
    page = (folder / 'out' / 'index.html').read_text()
    assert 'curves.png' in page and 'NoSuchViT' in page
    assert (folder / 'out' / 'curves.png').stat().st_size > 10_000

    before = (folder / 'out' / 'good' / 'train.log').read_bytes()
    code, text = compare(capsys, *command[1:])  # without the broken row
    assert code == 0 and 'k-NN CLS' in text
    assert (folder / 'out' / 'good' / 'train.log').read_bytes() == before
    code, text = compare(capsys, *command[1:6], '--epochs', '3')
    assert code == 1 and 'holds another run' in text
    (folder / 'out' / 'good' / 'trained.json').unlink()  # as if it had been stopped
    code, text = compare(capsys, *command[1:6], '--epochs', '3')
    assert code == 1 and 'holds another run' in text
    assert (folder / 'out' / 'good' / 'train.log').read_bytes() == before


def test_equal_minutes_and_a_stopped_run_goes_on(folder, capsys):
    config = folder / 'short.py'
    config.write_text((folder / 'good.py').read_text() + 'train_cfg = dict(max_epochs=2)\n')
    command = [config, '--data', folder / 'data', '--out', folder / 'timed', '--minutes', '0.1']
    row = folder / 'timed' / 'short'
    wanted = dict(config=str(config), data=str(folder / 'data'), epochs=None, minutes=0.1, seed=0)
    (row / 'run').mkdir(parents=True)
    (row / 'plan.json').write_text(json.dumps(wanted))
    (row / 'run' / 'STOP').touch()
    code, text = compare(capsys, *command)
    assert code == 1 and 'short: was stopped before its end: the same command goes on' in text
    assert not (row / 'trained.json').exists()

    code, text = compare(capsys, *command)
    assert code == 0, text
    scores = json.loads((folder / 'timed' / 'table.json').read_text())['rows'][0]['scores']
    momenta = [each['teacher_momentum'] for each in read_scalars(str(row / 'run'))
               if 'teacher_momentum' in each]  # fmt: skip
    # More epochs than it is meant for; the teacher moves as in a run of that many.
    assert scores['epochs'] > 2
    assert min(momenta) > 0.9959 and momenta[-1] > 0.9995


@pytest.fixture
def tool(monkeypatch):
    """Names of the tool; the commands that it would start are written down."""
    names = runpy.run_path(str(ROOT / 'tools' / 'analysis' / 'compare_runs.py'))
    names['started'] = []
    globals_of_tool = names['main'].__globals__
    monkeypatch.setitem(
        globals_of_tool, 'run_tool', lambda log, *command: names['started'].append(command)
    )
    return names


def test_two_tests_of_one_name_are_both_run(tool, tmp_path):
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / 'last_checkpoint').write_text('epoch_1.pth')
    for protocol in ('zero_shot', 'discovery'):
        test = ROOT / 'configs' / protocol / 'vit_coco.py'
        assert tool['score'](test, tmp_path) is None
        report = Path(tool['started'][-1][-1]) / '20260101_000000' / 'vit_coco.json'
        report.parent.mkdir(parents=True)
        report.write_text('{}')
        assert tool['score'](test, tmp_path) is None  # done
    assert [command[1].parent.name for command in tool['started']] == ['zero_shot', 'discovery']


def test_what_others_wrote_is_left_alone(tool, folder, tmp_path, capsys):
    row = tmp_path / 'good'
    row.mkdir()
    (row / 'config.py').write_text('# mine')
    command = [folder / 'good.py', '--data', folder / 'data', '--out', tmp_path, '--epochs', '2']
    args = tool['parse_args'](list(map(str, command)))
    assert 'holds files of something else' in tool['train'](folder / 'good.py', row, tmp_path, args)
    assert tool['started'] == [] and (row / 'config.py').read_text() == '# mine'
    (tmp_path / 'index.html').write_text('mine')
    code, text = compare(capsys, *command)
    assert code == 1 and 'index.html was not written by this tool' in text


def test_rows_are_named_after_their_methods_one_alone_too():
    """What the script hands to the tool."""
    told = subprocess.run(
        ['bash', ROOT / 'tools' / 'compare_methods.sh', 'data', 'out', '--epochs', '2', 'dino'],
        env=dict(os.environ, PYTHON='echo'), capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert told[told.index('--names') + 1 : told.index('--data')] == ['dino']


@pytest.mark.parametrize(
    'arguments, sentence',
    [
        (['no.py', '--data', '.', '--out', 'x', '--epochs', '1'], "there is no config 'no.py'"),
        ([TINY, '--data', '/nowhere', '--out', 'x', '--epochs', '1'], '/nowhere/train is not'),
        ([TINY, '--data', '.', '--out', 'x', '--epochs', '0'], '--minutes must be more than 0'),
        ([TINY, '--names', 'a', 'b', '--data', '.', '--out', 'x', '--epochs', '1'], 'needs 1 diff'),
        ([TINY, TINY, '--data', '.', '--out', 'x', '--epochs', '1'], 'a config is given twice'),
    ],
)
def test_what_cannot_be_is_one_sentence(arguments, sentence, capsys):
    code, text = compare(capsys, *arguments)
    assert code == 1 and sentence in text


def test_the_order_is_kendalls_tau_b():
    ours, paper = [3.0, 1.0, 2.0, 2.0, 5.0], [1.0, 1.0, 4.0, 3.0, 6.0]
    rows = [
        Row(str(i), Path(), scores=dict(a=x), paper=dict(a=y))
        for i, (x, y) in enumerate(zip(ours, paper, strict=True))
    ]
    assert order(rows, 'a') == pytest.approx(kendalltau(ours, paper).statistic)
    assert order(rows[:1], 'a') is None and order(rows, 'b') is None
