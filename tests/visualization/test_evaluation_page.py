import json

from mmc_plugin.evaluation.protocols import Figure, Protocol
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
