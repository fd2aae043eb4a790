import json

from mmc_plugin.evaluation.protocols import PROTOCOLS, Figure, Protocol
from mmc_plugin.visualization.evaluation_page import Evaluation, write_evaluations

CLICK = Protocol('click', 'One click', 'c.py', 'ROOT', 'data', '*/iou.json',
                 (Figure('mIoU', ('m',), '34.6', 100), Figure('none', ('n',))))  # fmt: skip


def test_numbers_pictures_and_problems_are_side_by_side(tmp_path):
    for day, value in (('1', 0.1), ('2', 0.25)):  # the newest counts
        folder = tmp_path / 'runs' / day
        folder.mkdir(parents=True)
        (folder / 'iou.json').write_text(json.dumps(dict(numbers=dict(m=value, n=None))))
        for name in ('iou.png', 'iou_cases.png', 'other.png'):
            (folder / name).write_bytes(b'')
    good = Evaluation(CLICK, 'a', tmp_path / 'runs')
    bad = Evaluation(CLICK, 'b', tmp_path / 'gone', 'it broke <here>')
    about = {name: dict(path=f'{name}.pth', sha256=name * 64) for name in 'ab'}
    write_evaluations([good, bad], about, {'Video': 'no folder'}, tmp_path)
    lines = (tmp_path / 'report.md').read_text().splitlines()
    assert lines[2] == '| protocol | number | a | b | MMC in the paper |'
    assert lines[4] == '| One click | mIoU | 25 | – | 34.6 |'
    assert lines[5] == '| One click | none | – | – | – |'
    assert '- One click, b: it broke <here>' in lines and '- Video: no folder' in lines
    page = (tmp_path / 'index.html').read_text()
    assert 'runs/2/iou.png' in page and 'runs/2/iou_cases.png' in page
    assert 'runs/1/' not in page and 'other.png' not in page and 'it broke &lt;here&gt;' in page
    one, two = json.loads((tmp_path / 'report.json').read_text())['evaluations']
    assert one['numbers'] == {'mIoU': 25.0, 'none': None} and one['paper'] == {'mIoU': '34.6'}
    assert two['numbers'] == {} and two['problem'] == 'it broke <here>'
    assert not (tmp_path / 'parts_vs_objects.md').exists()


def test_parts_have_a_table_of_their_own(tmp_path):
    names = {'parts/coco_linear': 'classification', 'parts/coco_parts': 'part_retrieval'}
    found = []
    for protocol in PROTOCOLS:
        if protocol.name in names:
            folder = tmp_path / protocol.name / 'day'
            folder.mkdir(parents=True)
            numbers = dict(top1=62.5, kinds=dict(cls=dict(map=0.4335), pat=dict(map=0.5)))
            (folder / f'{names[protocol.name]}.json').write_text(json.dumps(dict(numbers=numbers)))
            found.append(Evaluation(protocol, 'a', folder.parent))
    about = {name: dict(path=f'{name}.pth', sha256=name * 64) for name in 'ab'}
    write_evaluations(found, about, {}, tmp_path)
    header, _, *lines = (tmp_path / 'parts_vs_objects.md').read_text().splitlines()
    assert header.startswith('|  | measured | a | b | DeiT [study] | MoCo v3 [study] |')
    assert (
        '| parts | Part retrieval, people in COCO: CLS, mAP | 43.35 | – | 44.1 | 52.3 | 51.8 | '
        '35.3 | 37.1 | 57.0 | 59.2 |'
    ) in lines
    people = 'Part classification, linear, people in COCO: top-1'
    assert any(line.startswith(f'| parts | {people} | 62.50 | – | 88.5 |') for line in lines)
    species = 'Linear probe, species of CUB-200-2011: top-1'
    assert f'| objects | {species} | – | – |{" – |" * 7}' in lines
    assert 'Parts vs. objects' in (tmp_path / 'index.html').read_text()
