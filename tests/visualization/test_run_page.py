import json
import re

import cv2
import numpy as np

from mmc_plugin.visualization.run_page import write_run_page


def test_shows_the_curves_and_the_last_reconstruction(tmp_path):
    log = tmp_path / '2026' / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text(''.join(json.dumps(dict(step=i, loss=1 / i)) + '\n' for i in range(1, 9)))
    facts, steps = [('Training', '3 < 4')], [('Go on', 'python x.py --a "b"')]
    paths = write_run_page(tmp_path, 'A run', '<p id="first">hello</p>', facts, steps)
    assert [path.name for path in paths] == ['index.html', 'curves.png']
    text = paths[0].read_text()
    headings = re.findall('<h2>(.*?)</h2>', text)
    assert headings == ['How the run went', 'Losses', 'What next']
    assert text.index('id="first"') < text.index('How the run went')
    assert '3 &lt; 4' in text and 'python x.py --a &quot;b&quot;' in text
    assert cv2.imread(str(tmp_path / 'curves.png')).std() > 10

    (tmp_path / 'vis').mkdir()
    for epoch in (2, 9, 10):
        picture = np.full((8, 8, 3), epoch, np.uint8)
        cv2.imwrite(str(tmp_path / 'vis' / f'reconstruction_epoch_{epoch}.png'), picture)
    paths = write_run_page(tmp_path, 'A run', '', facts, steps)
    assert [path.name for path in paths] == ['index.html', 'curves.png', 'reconstruction.png']
    assert (cv2.imread(str(paths[2])) == 10).all()
    assert 'src="reconstruction.png"' in paths[0].read_text()
