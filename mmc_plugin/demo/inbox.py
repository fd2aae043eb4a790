"""Files on their way from a browser to the event of the page that takes them."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import anyio
from starlette.requests import Request
from starlette.responses import JSONResponse

from ..errors import InputError, UserError
from .uploads import read_clip, read_image

MOST_BYTES = 2**28  # of decoded content; beyond that the oldest goes
_MOST_FILES = 480


class Inbox:
    """What was sent and decoded, until the event that names its key takes it; no file stays.

    Args:
        most (int): Bytes of decoded content.
    """

    def __init__(self, most: int = MOST_BYTES) -> None:
        self.most = most
        self._kept: OrderedDict[str, tuple[str, Any, int]] = OrderedDict()

    def put(self, kind: str, content: Any, size: int) -> str:
        """Keep something of so many bytes; returns a key that nobody guesses."""
        key = secrets.token_urlsafe(16)
        self._kept[key] = kind, content, size
        while len(self._kept) > 1 and sum(each[2] for each in self._kept.values()) > self.most:
            self._kept.popitem(last=False)
        return key

    def take(self, kind: str, key: Any) -> Any:
        """Hand out what has this key, once.

        Raises:
            ValueError: If there is nothing of this kind.
        """
        if not isinstance(key, str) or self._kept.get(key, ('',))[0] != kind:
            raise InputError('This file is no longer here: send it again.')
        return self._kept.pop(key)[1]

    async def receive(self, request: Request) -> JSONResponse:
        """Decode the body of a POST and answer with its key.

        The path ends with a kind, ``image`` or ``clip``; ``sizes`` of the query are the bytes of
        each file in the body, one after another.
        """
        kind = request.path_params['kind']
        if kind not in _READERS:
            return JSONResponse(dict(words='There is no such place for files.'), 404)
        try:
            files = _parted(await request.body(), request.query_params)
            content, size = await anyio.to_thread.run_sync(_READERS[kind], files)
        except UserError as error:
            return JSONResponse(dict(words=error.sentence()), 400)
        return JSONResponse(dict(key=self.put(kind, content, size)))


def _parted(body: bytes, query: Mapping[str, str]) -> list[bytes]:
    sizes = query.get('sizes', '').split(',')
    if len(sizes) > _MOST_FILES:
        raise InputError(f'These are {len(sizes)} files: choose at most {_MOST_FILES}.')
    if not all(each.isascii() and each.isdigit() and len(each) < 12 for each in sizes):
        raise InputError('What was sent is no file.')
    files, start = [], 0
    for size in map(int, sizes):
        files.append(body[start : start + size])
        start += size
    if start != len(body):
        raise InputError('The files did not arrive as a whole: send them again.')
    return files


def _image(files: list[bytes]) -> tuple[Any, int]:
    if len(files) != 1:
        raise InputError(f'These are {len(files)} files: choose one image.')
    image, given = read_image(files[0])
    return (image, given), image.nbytes


def _clip(files: list[bytes]) -> tuple[Any, int]:
    frames, more = read_clip(files)
    return (frames, more), sum(map(len, frames))


_READERS = dict(image=_image, clip=_clip)
