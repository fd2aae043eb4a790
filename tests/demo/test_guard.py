"""What the server of the page lets through to Gradio, and what it answers itself."""

import asyncio
import json
import socket
import threading
import time

import pytest

pytest.importorskip('gradio')

import uvicorn
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from mmc_plugin.demo import guard
from mmc_plugin.demo.guard import EVENT_BYTES, FILE_BYTES, FILES_AT_ONCE, Guard

EVENT = '/gradio_api/queue/join'


class Stub:
    """Answers with what has reached it."""

    def __init__(self):
        self.requests, self.inside, self.most = [], 0, 0

    async def __call__(self, scope, receive, send):
        self.inside += 1
        self.most = max(self.most, self.inside)
        body = b''
        if scope['method'] == 'POST':
            message = await receive()
            body = message['body']
            assert not message['more_body']
        await asyncio.sleep(0.02)
        self.requests.append((scope['method'], scope['path'], body))
        answer = f'{scope["path"]} {len(body)}'.encode()
        await send(dict(type='http.response.start', status=200, headers=[]))
        await send(dict(type='http.response.body', body=answer))
        self.inside -= 1


@pytest.fixture
def stub():
    return Stub()


@pytest.fixture
def client(stub):
    return TestClient(Guard(stub))


@pytest.fixture
def port(stub):
    """Of a server with sockets of its own."""
    config = uvicorn.Config(Guard(stub), port=0, log_level='error', lifespan='off')
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(10)


def talk(port, *parts):
    """Send bytes as they are, one piece after another; returns what is answered."""
    with socket.create_connection(('127.0.0.1', port), timeout=20) as connection:
        for part in parts:
            try:
                connection.sendall(part)
            except (BrokenPipeError, ConnectionResetError):  # refused before the end
                break
        answer = b''
        try:
            while more := connection.recv(2**16):
                answer += more
        except ConnectionResetError:
            pass
        return answer


@pytest.mark.parametrize(
    'path',
    ['/', '/config', '/theme.css', '/assets/index.js', '/static/a/b.png', '/gradio_api/queue/data']
    + ['/gradio_api/heartbeat/abc', '/gradio_api/startup-events'],
)
def test_the_page_and_its_events_pass(client, stub, path):
    assert client.get(path).status_code == 200
    assert stub.requests == [('GET', path, b'')]


@pytest.mark.parametrize(
    'path',
    [
        '/gradio_api/file=/etc/passwd', '/file=/etc/passwd', '/file/etc/passwd',
        '/gradio_api/file/etc/passwd', '/gradio_api/proxy=http://example.org', '/proxy=a',
        '/gradio_api/upload', '/upload', '/upload/', '/upload/image/x',
        '/gradio_api/upload_progress',
        '/gradio_api/stream/a/b/c', '/gradio_api/deep_link', '/gradio_api/run/predict',
        '/gradio_api/call/draw', '/gradio_api/component_server', '/gradio_api/vibe-code',
        '/gradio_api/dev/reload', '/gradio_api/queue/status', '/monitoring', '/login', '/docs',
        '/openapi.json', '/custom_component/a/client/b/c', '//etc/passwd', '/etc/passwd',
        '/assets', '/assetsx/a', '/gradio_api/queue/join/..', '/gradio_api/mcp',
        '/assets/' + 'a' * 300,
    ],
)  # fmt: skip
def test_all_else_is_not_there(client, stub, path):
    for method in ('GET', 'POST'):
        answer = client.request(method, path)
        assert answer.status_code == 404 and answer.text == 'There is no such page.'
    assert not stub.requests


@pytest.mark.parametrize(
    'path',
    [
        '/assets/../../../../etc/passwd', '/assets/%2e%2e/%2e%2e/etc/passwd',
        '/assets/..%2f..%2fetc%2fpasswd', '/static/%2E%2E%2Fetc/passwd', '/assets/a/..',
        '/svelte/....//etc/passwd',
    ],
)  # fmt: skip
def test_no_path_leads_upwards(port, stub, path):
    answer = talk(port, f'GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'.encode())
    assert answer.startswith(b'HTTP/1.1 404') and not stub.requests


def test_websockets_are_not_answered(client, stub):
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(EVENT):
        pass
    assert not stub.requests


def test_an_event_arrives_as_it_was_sent(client, stub):
    event = dict(data=[1, 'path', None, {'x': [0.5]}], fn_index=3)
    assert client.post(EVENT, json=event).status_code == 200
    ((method, path, body),) = stub.requests
    assert (method, path, json.loads(body)) == ('POST', EVENT, event)


@pytest.mark.parametrize(
    'event',
    [
        {'path': '/etc/passwd'},
        {'data': [{'path': '/etc/passwd', 'meta': {'_type': 'gradio.FileData'}}]},
        {'data': [[{'a': {'b': [{'_type': 'gradio.FileData'}]}}]]},
        {'event_data': {'path': None}},
    ],
)
def test_no_event_names_a_file(client, stub, event):
    answer = client.post(EVENT, json=event)
    assert answer.status_code == 400 and 'names no file' in answer.text and not stub.requests


@pytest.mark.parametrize('body', [b'{', b'\xff\xfe', b'[' * 10**5, b'{"a": nul}'])
def test_what_is_no_event_is_refused(client, stub, body):
    answer = client.post(EVENT, content=body)
    assert answer.status_code == 400 and 'no event' in answer.text and not stub.requests


def test_an_upload_is_bytes_of_any_kind(client, stub):
    body = bytes(range(256)) * 9
    assert client.post('/upload/image?sizes=9', content=body).status_code == 200
    assert stub.requests == [('POST', '/upload/image', body)]


@pytest.mark.parametrize('path, most', [(EVENT, EVENT_BYTES), ('/upload/clip', FILE_BYTES)])
@pytest.mark.parametrize('length', ['{}', '9' * 30, '-1', 'many'])
def test_more_than_is_taken_is_refused_before_it_is_sent(port, stub, path, most, length):
    head = f'POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length.format(most + 1)}\r\n\r\n'
    answer = talk(port, head.encode())
    assert answer.startswith((b'HTTP/1.1 413', b'HTTP/1.1 400')) and not stub.requests


@pytest.mark.parametrize('path, most', [(EVENT, EVENT_BYTES), ('/upload/image', FILE_BYTES)])
def test_more_than_is_taken_is_cut_where_no_length_is_said(port, stub, path, most, monkeypatch):
    monkeypatch.setattr(guard, 'FILE_BYTES', EVENT_BYTES)
    head = f'POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n'.encode()
    chunk = b'10000\r\n' + b' ' * 0x10000 + b'\r\n'
    answer = talk(port, head, *[chunk] * (EVENT_BYTES // 0x10000 + 1))
    assert answer.startswith(b'HTTP/1.1 413') and not stub.requests
    answer = talk(port, head.replace(b'Host', b'Connection: close\r\nHost'), chunk, b'0\r\n\r\n')
    assert answer.startswith((b'HTTP/1.1 200', b'HTTP/1.1 400'))  # blanks are no event


def test_who_dawdles_leaves_the_place_to_others(port, stub, monkeypatch):
    monkeypatch.setattr(guard, 'SECONDS', 0.3)
    head = b'POST /upload/image HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n'
    answers = []
    slow = [
        threading.Thread(target=lambda: answers.append(talk(port, head % 100, b'a')))
        for _ in range(2 * FILES_AT_ONCE)
    ]
    for each in slow:
        each.start()
    quick = talk(port, head.replace(b'Host', b'Connection: close\r\nHost') % 3, b'abc')
    for each in slow:
        each.join(20)
    assert quick.startswith(b'HTTP/1.1 200')
    assert len(answers) == len(slow) and all(each.startswith(b'HTTP/1.1 408') for each in answers)
    assert [body for _, _, body in stub.requests] == [b'abc']


def test_fifty_uploads_at_once_are_taken_a_few_at_a_time(port, stub):
    head = b'POST /upload/image HTTP/1.1\r\nHost: a\r\nConnection: close\r\n'
    head += b'Content-Length: 1000\r\n\r\n'
    answers = []
    senders = [
        threading.Thread(target=lambda: answers.append(talk(port, head, b'a' * 1000)))
        for _ in range(50)
    ]
    for each in senders:
        each.start()
    for each in senders:
        each.join(20)
    assert [each[:12] for each in answers] == [b'HTTP/1.1 200'] * 50
    assert stub.most == FILES_AT_ONCE


def test_an_upload_that_breaks_off_changes_nothing(port, stub):
    head = b'POST /upload/image HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc'
    with socket.create_connection(('127.0.0.1', port)) as connection:
        connection.sendall(head)
    ask = b'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'
    assert talk(port, ask).startswith(b'HTTP/1.1 200')
