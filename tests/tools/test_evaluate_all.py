"""All protocols at once: what is there is measured once, what fails harms no other."""

import importlib.util
import json
import os
from pathlib import Path

import pytest
import torch

from mmc_plugin.evaluation.protocols import PROTOCOLS

from ..datasets.test_image_sets import flowers, pets
from .test_finetune import SMALL as TRAINING
from .test_recognition import checkpoint, folder  # noqa: F401  a fixture

ROOT = Path(__file__).parents[2]
SMALL = ['model.size=32', 'test_dataloader.num_workers=0', 'test_dataloader.batch_size=4']


@pytest.fixture
def tool(fork_server, monkeypatch, tmp_path):
    """The tool as a module, its runs in forks; those that it starts are listed."""
    spec = importlib.util.spec_from_file_location('evaluate_all', ROOT / 'tools/evaluate_all.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(tmp_path)
    for each in PROTOCOLS:
        monkeypatch.delenv(each.variable, raising=False)
    module.runs = []

    def run_tool(log, tool, *arguments, environment=None):
        module.runs.append((tool, Path(arguments[0]).parent.name, *map(str, arguments[1:])))
        variables = {each.variable: os.environ.get(each.variable, '') for each in PROTOCOLS}
        variables = {name: value for name, value in variables.items() if value}
        process = fork_server.start(
            ROOT / 'tools' / tool, arguments, log, variables | dict(environment or {})
        )
        (code,) = fork_server.wait(process, limit=60)
        return None if code == 0 else log.read_text().strip().splitlines()[-1]

    monkeypatch.setattr(module, 'run_tool', run_tool)
    return module


def test_what_fails_harms_no_other_and_what_is_done_is_not_done_again(
    tool,
    checkpoint,  # noqa: F811
    tmp_path,
    monkeypatch,
    capsys,
):
    monkeypatch.setenv('DATA_ROOT', str(folder(tmp_path / 'folder')))
    monkeypatch.setenv('PETS_ROOT', str(pets(tmp_path / 'pets')))
    other = tmp_path / 'other.pth'
    content = torch.load(checkpoint)
    content['state_dict']['backbone.cls_token'] += 1
    torch.save(content, other)
    call = [str(checkpoint), str(other), '--out', 'out, [1]', '--protocols', 'knn/folder',
            'few_shot', 'knn/flowers', 'knn/pets', 'finetune/pets',
            '--cfg-options', *SMALL]  # fmt: skip
    (tmp_path / 'folder' / 'train' / 'cat' / 'broken.jpg').write_bytes(b'broken')
    options = ['test_evaluator.0.k=(1,3)']
    assert tool.main([*call, *options]) == 1  # few-shot has no k
    shown = capsys.readouterr().out
    assert 'skipped: Table 6: k-NN, Flowers: no folder data/flowers102; set FLOWERS_ROOT' in shown
    assert 'skipped: Table 7: finetuning, Pets: trains first: add --train' in shown
    report = json.loads((tmp_path / 'out, [1]' / 'report.json').read_text())
    assert list(report['checkpoints']) == ['vit.pth', 'other.pth']
    cells = {(each['protocol'], each['checkpoint']): each for each in report['evaluations']}
    assert len(cells) == 2 * 4 and len(tool.runs) == 8
    for name in ('vit.pth', 'other.pth'):
        good = cells['knn/folder', name]
        left = json.loads(Path(good['report']).read_text())
        best = {kind: each['accuracy'] for kind, each in left['numbers']['best'].items()}
        assert good['numbers'] == {
            'CLS, best k': best['cls'], 'PAT, best k': best['pat'], 'Hybrid, best k': best['hybrid']
        }  # fmt: skip
        assert left['checkpoint']['sha256'] == report['checkpoints'][name]['sha256']
        assert 'nothing reads this key' in cells['few_shot/pets', name]['problem']
    page = (tmp_path / 'out, [1]' / 'index.html').read_text()
    lines = (tmp_path / 'out, [1]' / 'report.md').read_text()
    assert 'nothing reads this key' in page and 'nothing reads this key' in lines
    pat = cells['knn/folder', 'other.pth']['numbers']['PAT, best k']
    assert f'| PAT, best k | {cells["knn/folder", "vit.pth"]["numbers"]["PAT, best k"]:.2f}' in (
        lines.replace('| 100 ', '| 100.00 ')
    ) and (f'{pat:.2f}' in page or f'{pat:.0f}' in page)

    tool.runs.clear()  # only what failed is tried again
    assert tool.main([*call, *options]) == 1
    assert [run[1] for run in tool.runs] == ['few_shot'] * 4
    tool.runs.clear()  # other options are another evaluation
    assert tool.main([*call[:6], '--cfg-options', *SMALL, 'test_evaluator.0.k=2']) == 0
    assert [run[1] for run in tool.runs] == ['knn'] * 2


def test_the_figures_of_the_paper_are_where_the_reports_have_them(
    tool,
    checkpoint,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    monkeypatch.setenv('DATA_ROOT', str(folder(tmp_path / 'folder')))
    settings = {
        'few_shot/folder': ['test_evaluator.0.ways=2', 'test_evaluator.0.queries=1',
                            'test_evaluator.0.episodes=9'],
        'retrieval/folder': [],
        'variance/folder': ['test_cfg.views=3'],
    }  # fmt: skip
    for name, options in settings.items():
        call = [str(checkpoint), '--protocols', name, '--cfg-options', *SMALL, *options]
        assert tool.main(call) == 0
        report = json.loads((tmp_path / 'work_dirs/evaluate_all/report.json').read_text())
        (found,) = report['evaluations']
        numbers = found['numbers']
        assert numbers and all(value is not None for value in numbers.values()), name
    assert set(found['paper']) == {'image', 'patch'}


def test_training_protocols_train_and_test(tool, checkpoint, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv('FLOWERS_ROOT', str(flowers(tmp_path / 'flowers')))
    options = [*TRAINING, 'param_scheduler=[]', 'train_dataloader.batch_size=2']
    call = [str(checkpoint), '--protocols', 'finetune', '--train', '--cfg-options', *options]
    call += ['--train-options', 'model.head.loss.loss_weight=2.0']
    assert tool.main(call) == 0
    for run in tool.runs:
        assert 'model.head.loss.loss_weight=2.0' in run
    assert [run[0] for run in tool.runs] == ['train.py', 'test.py']
    assert tool.runs[1][2].endswith('epoch_1.pth')
    report = json.loads((tmp_path / 'work_dirs/evaluate_all/report.json').read_text())
    (found,) = report['evaluations']
    assert found['protocol'] == 'finetune/flowers' and found['numbers']['top-1'] >= 0
    assert len(report['skipped']) == 9


def test_the_list_says_where_data_is_looked_for(tool, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv('REVISITED_ROOT', str(tmp_path))
    (tmp_path / 'rparis6k').mkdir()
    assert tool.main(['--list', '--protocols', 'retrieval']) == 0
    oxford, paris, classes = capsys.readouterr().out.splitlines()
    assert f'no folder {tmp_path}/roxford5k; set REVISITED_ROOT' in oxford
    assert paris.endswith(f'data in {tmp_path}') and 'set DATA_ROOT' in classes


def test_the_protocols_of_the_study_of_parts_have_a_name(tool):
    chosen = {each.name for each in tool.choose(['parts_vs_objects', 'knn/pets'])}
    assert {'parts/coco_parts', 'parts/cub_linear', 'finetune/imagenet_attentive'} < chosen
    assert 'part_segmentation/vits_lip' in chosen and 'finetune/imagenet' not in chosen
    assert 'knn/pets' in chosen and 'knn/folder' not in chosen


def test_a_need_may_be_a_file(tool, tmp_path, monkeypatch):
    (protocol,) = tool.choose(['parts/coco_parts'])
    tmp_path = tmp_path / 'coco.v2'
    monkeypatch.setenv('COCO_KEYPOINTS_ROOT', str(tmp_path))
    assert tool.missing(protocol).startswith(f'no folder {tmp_path}; set COCO_KEYPOINTS_ROOT')
    tmp_path.mkdir()
    assert 'no file ' in tool.missing(protocol) and 'train2017.json' in tool.missing(protocol)
    (tmp_path / 'annotations').mkdir()
    (tmp_path / 'annotations' / 'person_keypoints_train2017.json').write_text('{}')
    assert f'no folder {tmp_path / "train2017"}; set COCO_KEYPOINTS' in tool.missing(protocol)
    (tmp_path / 'train2017').mkdir()
    assert tool.missing(protocol) is None


@pytest.mark.parametrize(
    'call, words',
    [
        (['a.pth', '--protocols', 'knnn'], '--protocols knnn: there is no such protocol'),
        (['a.pth', 'a.pth'], 'given twice'),
        (['gone.pth'], 'gone.pth'),
    ],
)
def test_mistakes_get_a_sentence(tool, call, words):
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        tool.main(call)


def test_names_are_as_short_as_they_can_be(tool):
    assert tool.names(['a/x.pth', 'b/y.pth']) == ['x.pth', 'y.pth']
    assert tool.names(['a/x.pth', 'b/x.pth']) == ['a/x.pth', 'b/x.pth']
