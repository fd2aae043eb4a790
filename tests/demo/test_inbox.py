"""Uploads wait under a key of their own until the event that names it."""

import cv2
import numpy as np
import pytest

pytest.importorskip('gradio')

from starlette.applications import Starlette
from starlette.testclient import TestClient

from mmc_plugin.demo import inbox as inboxes
from mmc_plugin.demo.inbox import Inbox


@pytest.fixture
def inbox():
    return Inbox()


@pytest.fixture
def client(inbox):
    app = Starlette()
    app.add_route('/upload/{kind}', inbox.receive, methods=['POST'])
    return TestClient(app)


def picture(seed, shape=(20, 30, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def png(image):
    return cv2.imencode('.png', image[..., ::-1])[1].tobytes()


def send(client, kind, *files):
    sizes = ','.join(str(len(each)) for each in files)
    return client.post(f'/upload/{kind}?sizes={sizes}', content=b''.join(files))


def test_an_image_is_handed_out_once_and_only_for_its_key(client, inbox):
    images = [picture(0), picture(1)]
    keys = [send(client, 'image', png(image)).json()['key'] for image in images]
    assert len(set(keys)) == 2 and all(len(key) >= 22 for key in keys)
    for key, image in zip(reversed(keys), reversed(images), strict=True):
        found, given = inbox.take('image', key)
        np.testing.assert_array_equal(found, image)
        assert given == (30, 20)
        with pytest.raises(ValueError, match='no longer here'):
            inbox.take('image', key)


def test_a_clip_arrives_in_its_order(client, inbox):
    shades = [np.full((20, 30, 3), 50 * place, np.uint8) for place in range(3)]
    key = send(client, 'clip', *map(png, shades)).json()['key']
    with pytest.raises(ValueError, match='no longer here'):
        inbox.take('image', key)  # it is no image
    frames, more = inbox.take('clip', key)
    means = [cv2.imdecode(np.frombuffer(each, np.uint8), 0).mean() for each in frames]
    np.testing.assert_allclose(means, (0, 50, 100), atol=2)
    assert not more


@pytest.mark.parametrize('key', [None, 3, '', 'a', ['a'], {'a': 1}, '../../etc/passwd'])
def test_other_keys_open_nothing(inbox, key):
    inbox.put('image', 'secret', 1)
    with pytest.raises(ValueError, match='no longer here'):
        inbox.take('image', key)


def test_what_is_kept_is_bounded():
    inbox = Inbox(most=100)
    keys = [inbox.put('image', place, 30) for place in range(5)]
    for key in keys[:2]:
        with pytest.raises(ValueError, match='send it again'):
            inbox.take('image', key)
    assert [inbox.take('image', key) for key in keys[2:]] == [2, 3, 4]
    assert inbox.take('image', inbox.put('image', 'large', 1000)) == 'large'


@pytest.mark.parametrize(
    'query, body, words',
    [
        ('', b'abc', 'no file'),
        ('sizes=', b'abc', 'no file'),
        ('sizes=-3', b'abc', 'no file'),
        ('sizes=٣', b'abc', 'no file'),
        ('sizes=' + '9' * 5000, b'abc', 'no file'),
        ('sizes=4', b'abc', 'as a whole'),
        ('sizes=2', b'abc', 'as a whole'),
        ('sizes=1,2', b'abc', '2 files: choose one image'),
        ('sizes=' + ','.join('1' * 500), b'a' * 500, 'choose at most 480'),
        ('sizes=3', b'abc', 'no JPEG, PNG, WebP or BMP'),
    ],
)
def test_what_is_no_image_is_answered(client, inbox, query, body, words):
    answer = client.post(f'/upload/image?{query}', content=body)
    assert answer.status_code == 400 and words in answer.json()['words']
    assert not inbox._kept


def test_a_failure_of_ours_is_no_traceback(client, monkeypatch):
    def fail(files):
        raise RuntimeError('/secret/path')

    monkeypatch.setitem(inboxes._READERS, 'image', fail)
    client = TestClient(client.app, raise_server_exceptions=False)
    answer = send(client, 'image', b'abc')
    assert answer.status_code == 500 and 'secret' not in answer.text


def test_there_is_no_other_kind(client):
    assert send(client, 'file', b'abc').status_code == 404
