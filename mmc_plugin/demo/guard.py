"""What of Gradio's server a browser reaches: the page and its events, no file of this machine.

The page carries pictures within its events, and files come in by a route of its own
(:mod:`mmc_plugin.demo.inbox`). So Gradio's routes for files, uploads and proxies are shut, and no
event may name a file.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.middleware.trustedhost import TrustedHostMiddleware

from .uploads import VIDEO_BYTES

EVENT_BYTES = 2**18  # settings and a click
FILE_BYTES = VIDEO_BYTES
FILES_AT_ONCE = 4  # more wait, so that memory is bounded
PATH_LENGTH = 200  # longer names than the systems take of files lead to no page
SECONDS = 120  # for a body to arrive; whoever dawdles leaves the place to others

_OPEN = re.compile(
    r'/|/config/?|/theme\.css|/favicon\.ico|/robots\.txt|/manifest\.json|/pwa_icon(/.*)?'
    r'|/(assets|static|svelte)/.*'
    r'|/upload/(image|clip)'
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
        self._files = asyncio.Semaphore(FILES_AT_ONCE)

    async def __call__(self, scope: dict, receive: Receive, send: Send) -> None:
        """Answer a request or hand it on."""
        if scope['type'] == 'lifespan':
            await self.app(scope, receive, send)
            return
        if scope['type'] != 'http':
            await send(dict(type='websocket.close'))
            return
        path = scope['path']
        if len(path) > PATH_LENGTH or '..' in path or not _OPEN.fullmatch(path):
            await _refuse(send, 404, 'There is no such page.')
        elif scope['method'] != 'POST':
            await self.app(scope, receive, send)
        else:
            await self._post(scope, receive, send)

    async def _post(self, scope: dict, receive: Receive, send: Send) -> None:
        is_file = scope['path'].startswith('/upload/')
        most = FILE_BYTES if is_file else EVENT_BYTES
        declared = dict(scope['headers']).get(b'content-length', b'0')
        if not declared.isdigit() or int(declared) > most:
            await _refuse(send, 413, 'This is more than the page takes at once.')
        elif is_file:
            async with self._files:
                await self._checked(scope, receive, send, most)
        else:
            await self._checked(scope, receive, send, most)

    async def _checked(self, scope: dict, receive: Receive, send: Send, most: int) -> None:
        try:
            body = await asyncio.wait_for(_read(receive, most), SECONDS)
        except asyncio.TimeoutError:
            await _refuse(send, 408, 'This came too slowly.')
            return
        if body is None:
            await _refuse(send, 413, 'This is more than the page takes at once.')
            return
        if not scope['path'].startswith('/upload/'):
            try:
                if _names_a_file(json.loads(body or b'null')):
                    await _refuse(send, 400, 'An event of this page names no file.')
                    return
            except (ValueError, RecursionError):
                await _refuse(send, 400, 'This is no event of the page.')
                return
        content: bytes | None = body
        del body

        async def replay() -> Message:
            nonlocal content
            if content is None:
                return await receive()
            whole, content = content, None
            return dict(type='http.request', body=whole, more_body=False)

        await self.app(scope, replay, send)


def trusted_hosts(app: App, address: str) -> TrustedHostMiddleware:
    """Serve those who ask for this machine by a name or address that it is known by.

    Else a foreign page could have its own name lead to this machine, and its visitors' browsers
    would let it read what is served here (DNS rebinding).

    Args:
        app: In front of which it stands.
        address: That is listened at, without brackets. At 0.0.0.0 and :: the names by which others
            know this machine are unknown, and any is served.
    """
    hosts = ['localhost', '127.0.0.1', '[::1]', f'[{address}]' if ':' in address else address]
    if address in ('0.0.0.0', '::'):
        hosts = ['*']
    return TrustedHostMiddleware(app, hosts, www_redirect=False)


async def _read(receive: Receive, most: int) -> bytes | None:
    """The body of a request; None if it is longer. Of one that breaks off, what has come."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get('body', b'')
        if len(body) > most:
            return None
        if not message.get('more_body'):
            return bytes(body)


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
