"""The figures of the study of parts, against the protocols and what the cards and pages say."""

import re
from pathlib import Path

import pytest

from mmc_plugin.evaluation.part_study import METHODS, STUDY
from mmc_plugin.evaluation.protocols import PROTOCOLS

ROOT = Path(__file__).parents[2]
CONFIG = {each.name: each.config for each in PROTOCOLS}


def test_each_row_is_a_figure_of_a_protocol():
    figures = {(each.name, figure.label) for each in PROTOCOLS for figure in each.figures}
    assert {(row.protocol, row.label) for row in STUDY} <= figures
    assert all(len(row.study) in (0, len(METHODS)) for row in STUDY)
    assert {row.about for row in STUDY} == {'parts', 'objects'}
    assert len({(row.protocol, row.label) for row in STUDY}) == len(STUDY)


@pytest.mark.parametrize(
    'row',
    [row for row in STUDY if row.protocol.startswith('part') and 'projected' not in row.label],
    ids=lambda row: row.protocol,
)
def test_the_cards_quote_the_same_figures(row):
    folder, config = CONFIG[row.protocol].split('/')
    text = (ROOT / 'configs' / folder / 'README.md').read_text(encoding='utf-8')
    (line,) = [line for line in text.splitlines() if f'({config})' in line]
    quoted = dict(re.findall(r'(DINO|iBOT|MAE) (\d+\.\d)', line.split(' | ')[2]))
    own = dict(zip(METHODS, row.study, strict=False))
    assert {name: float(value) for name, value in quoted.items()} == {
        name: own[name] for name in ('DINO', 'iBOT', 'MAE') if own
    }


@pytest.mark.parametrize('name, protocol', [('CUB', 'cub_parts'), ('COCO', 'coco_parts')])
def test_the_page_of_parts_has_the_same_figures(name, protocol):
    page = (ROOT / 'docs' / 'parts.md').read_text(encoding='utf-8')
    (cells,) = re.findall(rf'^\| {name} \|(.*)\|$', page, re.M)
    figures = tuple(float(each) for each in cells.split('|'))
    (cells,) = re.findall(rf'^\| {name}, projected \|(.*)\|$', page, re.M)
    projected = tuple(float(each) if each.strip() else None for each in cells.split('|'))
    rows = [row for row in STUDY if row.protocol == f'parts/{protocol}']
    assert [row.study for row in rows] == [figures, figures, projected]
