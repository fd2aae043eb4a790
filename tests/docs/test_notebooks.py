"""The notebooks run, at small settings, and are stored as they ran at their own."""

import ast
import importlib
import os
import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip('nbformat')
nbclient = pytest.importorskip('nbclient')

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / 'docs' / 'notebooks').glob('*.ipynb'))
# Instead of the first cell.
SMALL = dict(
    own_folder='images, epochs, size = None, 3, 64',
    compare='checkpoints, size = None, 112',
    new_method='images, epochs = None, 3',
    openmmlab='checkpoint, iterations, size = None, 1, 56',
    detection='checkpoint, iterations, size = None, 1, 112',
)
QUICKSTART = 'mmc/quickstart.py'


def test_each_has_small_settings():
    assert {path.stem for path in NOTEBOOKS} == set(SMALL)


def small_config(path):
    """Write the quickstart's config with a fifth of the samples in an epoch."""
    base = ROOT / 'configs' / QUICKSTART
    path.write_text(f'_base_ = [{str(base)!r}]\ntrain_dataloader = dict(sampler=dict(length=60))\n')


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path, tmp_path, monkeypatch):
    if path.stem == 'detection':
        try:
            importlib.import_module('mmdet.models')
        except (ImportError, AttributeError) as error:
            pytest.skip(f'mmdet.models needs mmdet and the compiled operators of mmcv: {error}')
    notebook = nbformat.read(path, 4)
    (cell,) = [c for c in notebook.cells if 'parameters' in c.metadata.get('tags', ())]
    own = {t.id for n in ast.walk(ast.parse(cell.source)) if isinstance(n, ast.Assign)
           for t in n.targets}  # fmt: skip
    small = {t.id for n in ast.walk(ast.parse(SMALL[path.stem])) if isinstance(n, ast.Assign)
             for t in n.targets[0].elts}  # fmt: skip
    assert own == small
    cell.source = SMALL[path.stem]
    small_config(tmp_path / 'small.py')
    for each in notebook.cells:
        each.source = each.source.replace(QUICKSTART, str(tmp_path / 'small.py'))
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')]))
    resources = dict(metadata=dict(path=str(tmp_path)))
    nbclient.NotebookClient(notebook, timeout=200, resources=resources).execute()
    for stored, done in zip(nbformat.read(path, 4).cells, notebook.cells, strict=True):
        kinds = [{k for o in c.get('outputs', ()) for k in o.get('data', ())}
                 for c in (stored, done)]  # fmt: skip
        assert kinds[0] == kinds[1], done.source


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_stored(path):
    text = path.read_text(encoding='utf-8')
    assert len(text) < 1_000_000
    assert not re.search(r'/(root|home|tmp|work)/', text)
    cells = [cell for cell in nbformat.reads(text, 4).cells if cell.cell_type == 'code']
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [each for each in outputs if each.output_type == 'error']
    assert any('image/png' in each.get('data', ()) for each in outputs)
