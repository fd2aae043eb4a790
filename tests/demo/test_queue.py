"""What the server keeps of events that are over."""

import gc
import threading
import time

import pytest

pytest.importorskip('gradio')

import uvicorn
from gradio.queueing import Event

from mmc_plugin.demo.networks import load_networks
from mmc_plugin.demo.page import build_app
from mmc_plugin.demo.queue import KEPT_EVENTS


@pytest.fixture
def server(tiny_run, free_port):
    app = build_app(load_networks([str(tiny_run)], 'cpu'))
    config = uvicorn.Config(app, port=free_port, log_level='warning', timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    (page,) = [each.app.get_blocks() for each in app.app.routes if hasattr(each.app, 'get_blocks')]
    yield f'http://127.0.0.1:{free_port}', page
    server.should_exit = True
    thread.join(10)


def test_events_that_are_over_are_forgotten(server, benchmark):
    url, page = server
    visitor = benchmark.Visitor(url)
    visitor.inputs['upload'][visitor.inputs['upload'].index(480)] = 224
    (image,) = benchmark.some_images(1)
    visitor.send(image, 'mine.png')
    for _ in range(KEPT_EVENTS + 20):
        visitor.event('reset', None)
    assert 'mine.png' in visitor.click(0.5, 0.5)[0]
    visitor.close()
    gc.collect()
    events = [each for each in gc.get_objects() if isinstance(each, Event)]
    assert 0 < sum(each.session_hash == visitor.session for each in events) <= KEPT_EVENTS + 1
    queue = page._queue
    for kept in (
        queue.event_ids_to_events, queue.event_analytics, queue._asyncio_tasks,
        queue.server_app.iterators_to_reset,
    ):  # fmt: skip
        assert len(kept) <= KEPT_EVENTS + 1
    assert not page.pending_diff_streams.get(visitor.session)
