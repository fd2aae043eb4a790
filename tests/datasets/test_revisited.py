import pickle

import numpy as np
import pytest
from PIL import Image

from mmc_plugin.datasets.revisited import RevisitedLandmarks

TRUTH = [
    dict(bbx=[4.0, 2.0, 30.4, 20.0], easy=np.array([0]), hard=np.array([1]), junk=np.array([2])),
    dict(bbx=[0.0, 0.0, 40.0, 30.0], easy=[3], hard=[], junk=np.array([0, 1])),
]


def landmarks(root, name='roxford5k', truth=TRUTH, images=5, **changes):
    """The format of the release: names without ending, a pickle beside them."""
    folder = root / name
    (folder / 'jpg').mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    names, queries = [f'all_souls_{i:06d}' for i in range(images)], ['oxford_1', 'oxford_2']
    for each in [*names, *queries]:
        pixels = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / 'jpg' / f'{each}.jpg')
    content = dict(imlist=names, qimlist=queries, gnd=truth) | changes
    (folder / f'gnd_{name}.pkl').write_bytes(pickle.dumps(content, protocol=2))
    return root


def test_reads_images_boxes_and_ground_truth(tmp_path):
    root = str(landmarks(tmp_path))
    database = RevisitedLandmarks(root, 'roxford5k', 'database')
    query = RevisitedLandmarks(root, 'roxford5k', 'query')
    assert (len(database), len(query)) == (5, 2) and database.ground_truth is None
    assert query.ground_truth[1]['hard'].shape == (0,)
    assert query.ground_truth[0]['easy'].tolist() == [0]
    images = query.images(0, 224, 'long')
    photograph = np.array(Image.open(query.paths[0]).crop((4, 2, 30, 20)))
    difference = images[0][0].permute(1, 2, 0).numpy().astype(int) - photograph
    assert images[0][0].shape == (3, 18, 26) and abs(difference).max() <= 3  # two JPEG decoders
    whole = RevisitedLandmarks(root, 'roxford5k', 'query', crop_queries=False)
    assert whole.images(0, 20, 'long')[0][0].shape == (3, 15, 20)
    assert len(RevisitedLandmarks(root, 'roxford5k', 'database', max_images=3)) == 3


@pytest.mark.parametrize(
    'changes, words',
    [
        (dict(gnd=TRUTH[:1]), '2 queries, but has the ground truth of 1'),
        (dict(gnd=[dict(bbx=[0, 0, 9, 9], easy=[0])] * 2), "no ground truth .*'hard'"),
        (dict(gnd=[dict(TRUTH[0], easy=[5]), TRUTH[1]]), 'oxford_1 refers to images outside the 5'),
        (dict(gnd=[dict(TRUTH[0], bbx=[9, 9, 9, 9]), TRUTH[1]]), 'box of oxford_1'),
        (dict(imlist=[]), 'names 0 images'),
    ],
)
def test_wrong_ground_truth_gets_a_sentence(tmp_path, changes, words):
    with pytest.raises(ValueError, match=words):
        RevisitedLandmarks(str(landmarks(tmp_path, **changes)), 'roxford5k', 'query')


def test_what_is_missing_gets_a_sentence(tmp_path):
    root = str(landmarks(tmp_path))
    with pytest.raises(FileNotFoundError, match='no ground truth .*gnd_rparis6k.pkl'):
        RevisitedLandmarks(root, 'rparis6k', 'query')
    with pytest.raises(ValueError, match="'database' or 'query', got 'all'"):
        RevisitedLandmarks(root, 'roxford5k', 'all')
    for path in (tmp_path / 'roxford5k' / 'jpg').iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match='not where they should be'):
        RevisitedLandmarks(root, 'roxford5k', 'database')


def test_a_pickle_that_would_run_code_does_not(tmp_path, capsys):
    class Runs:
        def __reduce__(self):
            return print, ('it ran',)

    root = str(landmarks(tmp_path, gnd=[Runs()]))
    with pytest.raises(ValueError, match='gnd_roxford5k.pkl is refused: .*print, code that'):
        RevisitedLandmarks(root, 'roxford5k', 'query')
    assert 'it ran' not in capsys.readouterr().out
