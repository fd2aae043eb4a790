"""What visitors who mean no good get from the running server, and what others see of it."""

import contextlib
import json
import struct
import threading
import zlib

import cv2
import numpy as np
import pytest

pytest.importorskip('gradio')

import httpx

from mmc_plugin.demo.pictures import cut_out


@pytest.fixture(scope='module')
def server(benchmark, tiny_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp('server')
    server = benchmark.Server([str(tiny_run)], str(folder))
    yield server
    files = [each for each in folder.rglob('*') if each.is_file()]
    assert server.process.poll() is None
    server.close()
    assert not files


@pytest.fixture
def visitor(benchmark, server):
    visitor = benchmark.Visitor(server.url)
    visitor.inputs['upload'][visitor.inputs['upload'].index(480)] = 224
    visitor.inputs['point'][visitor.inputs['point'].index(480)] = 224
    yield visitor
    visitor.close()


def images(benchmark, count):
    return list(benchmark.some_images(count))


def test_each_of_many_sees_his_own_image(benchmark, server):
    clicks, mistakes, _ = benchmark.together(server, 4, 3)
    assert mistakes == [] and len(clicks)


def test_a_stamp_is_read_wherever_the_object_lies(benchmark):
    rng = np.random.default_rng(0)
    for number, image in zip((0, 5, 18, 31), images(benchmark, 4), strict=True):
        for size in (20, 60):
            mask = rng.random((-(-360 // size), -(-480 // size))) < 0.5
            mask = np.kron(mask, np.ones((size, size)))[:360, :480] > 0
            picture = jpeg(cut_out(benchmark.stamped(image, number), mask))
            assert benchmark.stamp_of(picture) == number


def jpeg(image):
    coded = cv2.imencode('.jpg', image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])[1]
    return cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1]


def test_fifty_uploads_at_once_are_answered_and_change_nothing_for_others(
    benchmark, server, visitor
):
    image, *others = images(benchmark, 3)
    visitor.send(image, 'mine.png')
    before = visitor.click(0.5, 0.5)[0]
    large = cv2.imencode('.bmp', np.repeat(np.repeat(others[0], 4, 0), 4, 1))[1].tobytes()
    assert len(large) > 7 * 2**20
    memory, answers = server.memory(), []

    def send():
        with contextlib.suppress(httpx.HTTPError):
            url = f'{server.url}/upload/image?sizes={len(large)}'
            answers.append(httpx.post(url, content=large, timeout=120).status_code)

    senders = [threading.Thread(target=send) for _ in range(50)]
    for each in senders:
        each.start()
    visitor.event('reset', None)
    during = visitor.click(0.5, 0.5)[0]
    for each in senders:
        each.join()
    assert answers == [200] * 50
    for one, other in zip(*map(benchmark.pictures, (before, during)), strict=True):
        np.testing.assert_array_equal(one, other)
    # 50 files of 7 MB, of which four are received at a time, and 256 MB of decoded images.
    assert server.memory() - memory < 600


def chunk(name, data):
    return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))


def bomb(width, height):
    """A PNG whose header is true, of zeros without end."""
    rows = zlib.compressobj(9)
    data = b''.join(rows.compress(bytes(2**20)) for _ in range(200)) + rows.flush()
    header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    return (
        b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', data) + chunk(b'IEND', b'')
    )


@pytest.mark.parametrize(
    'kind, content, words',
    [
        ('image', bomb(60000, 60000), 'pixels'),
        ('clip', bomb(60000, 60000), 'no video'),
        ('image', b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>', 'no JPEG'),
        ('image', b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>', 'no JPEG'),
        ('image', b'%PDF-1.7', 'no JPEG'),
        ('image', b'GIF89a' + bytes(99), 'no JPEG'),
        ('image', b'RIFF\x10\0\0\0WEBPVP8X' + b'\xff' * 30, 'cannot be read'),
        ('image', b'BM' + b'\xff' * 60, 'cannot be read'),
        ('clip', b'#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n', 'no MP4'),
        ('clip', b'ffconcat version 1.0\nfile /etc/passwd\n', 'no MP4'),
        ('clip', b'\x1aE\xdf\xa3' + bytes(500), 'cannot read the video'),
    ],
)  # fmt: skip
def test_files_that_are_no_image_are_refused(server, kind, content, words):
    memory = server.memory()
    answer = httpx.post(f'{server.url}/upload/{kind}?sizes={len(content)}', content=content)
    assert answer.status_code == 400 and words in answer.json()['words']
    assert server.memory() - memory < 150


@pytest.mark.parametrize(
    'path',
    [
        'gradio_api/file=/etc/passwd', 'file=/etc/passwd', 'gradio_api/file=../../etc/passwd',
        'assets/..%2f..%2f..%2f..%2fetc%2fpasswd', 'gradio_api/proxy=http://127.0.0.1/',
        'gradio_api/stream/a/b/playlist.m3u8', 'gradio_api/upload_progress?upload_id=a',
        'monitoring', 'gradio_api/info/../file=/etc/passwd', 'docs', 'openapi.json',
    ],
)  # fmt: skip
def test_no_file_of_the_machine_is_reached(server, path):
    answer = httpx.get(f'{server.url}/{path}')
    assert answer.status_code == 404 and 'root:' not in answer.text
    assert httpx.post(f'{server.url}/{path}', content=b'{}').status_code == 404


HOSTILE = [
    ('sample', dict(name='../../../../etc/passwd')),
    ('sample', dict(name={'a': 1})),
    ('sample', dict()),
    ('sample', None),
    ('upload', dict(name='a.png', key='guessed')),
    ('upload', dict(key=['a'])),
    ('upload', dict(name='a.png', key='/etc/passwd')),
    ('point', dict(x=float('1e300'), y=0, beside=False)),
    ('point', dict(x='a', y=[], beside={})),
    ('point', dict()),
]


@pytest.mark.parametrize('name, data', HOSTILE)
def test_events_that_the_page_never_sends_are_answered_without_a_traceback(
    benchmark, server, visitor, name, data
):
    visitor.send(images(benchmark, 1)[0], 'mine.png')
    with pytest.raises(RuntimeError) as error:
        visitor.event(name, data)
    words = str(error.value)
    assert 'Traceback' not in words and '/mmc_plugin' not in words and 'root:' not in words
    assert 'mine.png' in visitor.click(0.5, 0.5)[0]


@pytest.mark.parametrize(
    'place, value',
    [(1, ['other']), (1, 'x'), (3, 'sideways'), (4, 1e9), (5, 99), (6, 10**7), (7, 3), (8, 10**9)]
    + [(2, ['similarity'] * 1000), (6, None), (5, [1])],
)
def test_settings_that_the_page_does_not_offer_do_no_harm(benchmark, server, visitor, place, value):
    visitor.send(images(benchmark, 1)[0], 'mine.png')
    visitor.inputs['point'][place], kept = value, visitor.inputs['point'][place]
    with contextlib.suppress(RuntimeError):
        html, seconds = visitor.click(0.5, 0.5)
        assert seconds < 5 and len(html) < 10**6
    visitor.inputs['point'][place] = kept
    assert 'mine.png' in visitor.click(0.6, 0.5)[0]


def test_a_key_of_another_visitor_is_spent_once(benchmark, server, visitor):
    content = cv2.imencode('.png', images(benchmark, 1)[0])[1].tobytes()
    key = httpx.post(f'{server.url}/upload/image?sizes={len(content)}', content=content).json()
    visitor.event('upload', dict(name='a.png', **key))
    other = benchmark.Visitor(server.url)
    with pytest.raises(RuntimeError, match='no longer here'):
        other.event('upload', dict(name='a.png', **key))
    with pytest.raises(RuntimeError, match='session has ended'):
        other.click(0.5, 0.5)
    other.close()


def test_an_event_cannot_bring_a_picture_of_its_own_making(benchmark, server, visitor):
    """The state is the server's: what a visitor sends in its place is not used."""
    visitor.inputs['point'][0] = dict(name='/etc/passwd', image='/etc/passwd')
    with pytest.raises(RuntimeError, match='session has ended'):
        visitor.click(0.5, 0.5)


def test_progress_is_told_while_an_image_is_encoded(benchmark, server, visitor):
    content = cv2.imencode('.png', images(benchmark, 1)[0])[1].tobytes()
    answer = visitor.client.post(f'/upload/image?sizes={len(content)}', content=content)
    body = dict(
        data=visitor.inputs['upload'], event_data=dict(name='a.png', **answer.json()),
        fn_index=visitor.events['upload'], session_hash=visitor.session,
    )  # fmt: skip
    visitor.client.post('/gradio_api/queue/join', json=body)
    where, told = dict(session_hash=visitor.session), []
    with visitor.client.stream('GET', '/gradio_api/queue/data', params=where) as lines:
        for line in lines.iter_lines():
            if line.startswith('data:'):
                told.append(json.loads(line[5:]))
                if told[-1]['msg'] == 'process_completed':
                    break
    first, *_, last = [json.dumps(each['output']['data']) for each in told if 'output' in each]
    assert '<progress' in first and 'Encoding with' in first
    assert 'data:image/jpeg' in first and 'encoded' not in first  # the image is there already
    assert 'encoded' in last
