"""What of Gradio's server a browser reaches: the page and its events, no file of this machine.

The page carries pictures within its events. So Gradio's routes for files, uploads and proxies are
shut, and no event may name a file.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

MOST_BYTES = 96 * 2**20  # of a request; a video of 64 MB is 86 MB in base64
LARGE_BYTES = 2**20
LARGE_AT_ONCE = 4  # more wait, so that memory is bounded

_OPEN = re.compile(
    r'/|/config/?|/theme\.css|/favicon\.ico|/robots\.txt|/manifest\.json|/pwa_icon(/.*)?'
    r'|/(assets|static|svelte)/.*'
    r'|/gradio_api/(info/?|startup-events|app_id/?|theme\.css|heartbeat/\w+|cancel|reset/?'
    r'|queue/(join|data))'
)

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[dict, Receive, Send], Awaitable[None]]


class Guard:
    """ASGI application in front of Gradio's.

    Args:
        app: Gradio's.
    """

    def __init__(self, app: App) -> None:
        self.app = app
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)

    async def __call__(self, scope: dict, receive: Receive, send: Send) -> None:
        """Answer a request or hand it on."""
        if scope['type'] != 'http':
            if scope['type'] == 'lifespan':
                await self.app(scope, receive, send)
            return
        if not _OPEN.fullmatch(scope['path']) or '..' in scope['path']:
            await _refuse(send, 404, 'There is no such page.')
        elif scope['method'] != 'POST':
            await self.app(scope, receive, send)
        else:
            await self._post(scope, receive, send)

    async def _post(self, scope: dict, receive: Receive, send: Send) -> None:
        declared = dict(scope['headers']).get(b'content-length', b'')
        size = int(declared) if declared.isdigit() else MOST_BYTES
        if size > MOST_BYTES:
            await _refuse(send, 413, 'This is more than the page takes at once.')
            return
        if size > LARGE_BYTES:
            async with self._large:
                await self._checked(scope, receive, send)
        else:
            await self._checked(scope, receive, send)

    async def _checked(self, scope: dict, receive: Receive, send: Send) -> None:
        body = bytearray()
        while True:
            message = await receive()
            if message['type'] == 'http.disconnect':
                return
            body += message.get('body', b'')
            if len(body) > MOST_BYTES:
                await _refuse(send, 413, 'This is more than the page takes at once.')
                return
            if not message.get('more_body'):
                break
        try:
            if _names_a_file(json.loads(body or b'null')):
                await _refuse(send, 400, 'An event of this page names no file.')
                return
        except (ValueError, RecursionError):
            await _refuse(send, 400, 'This is no event of the page.')
            return
        content = bytes(body)
        del body
        sent = False

        async def replay() -> Message:
            nonlocal sent, content
            if sent:
                return await receive()
            sent, whole, content = True, content, b''
            return dict(type='http.request', body=whole, more_body=False)

        await self.app(scope, replay, send)


def _names_a_file(value: Any) -> bool:
    """Whether anything in an event has the form of Gradio's files."""
    if isinstance(value, dict):
        if 'path' in value or '_type' in value:
            return True
        return any(map(_names_a_file, value.values()))
    return isinstance(value, list) and any(map(_names_a_file, value))


async def _refuse(send: Send, status: int, words: str) -> None:
    headers = [(b'content-type', b'text/plain; charset=utf-8'), (b'connection', b'close')]
    await send(dict(type='http.response.start', status=status, headers=headers))
    await send(dict(type='http.response.body', body=words.encode()))
