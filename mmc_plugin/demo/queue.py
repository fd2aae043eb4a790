"""Gradio's queue of events, without what it keeps of those that are over.

Gradio 6.17 holds every event for as long as the server runs: its request with all of the
connection, its input, its task and a row of statistics, which no route of this page shows.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import gradio as gr
from gradio.queueing import Event, Queue

KEPT_EVENTS = 64  # of those that are over: their last words may be on their way


class ForgetfulQueue(Queue):
    """A queue that forgets an event when :data:`KEPT_EVENTS` others have ended after it.

    Args:
        **settings: Of Gradio's queue.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._over: deque[Event] = deque()

    async def process_events(self, events: list[Event], *args: Any, **kwargs: Any) -> None:
        """Work on events of one function."""
        try:
            await super().process_events(events, *args, **kwargs)
        finally:
            self._over.extend(events)
            while len(self._over) > KEPT_EVENTS:
                self._forget(self._over.popleft())
            self._asyncio_tasks = [each for each in self._asyncio_tasks if not each.done()]

    def _forget(self, event: Event) -> None:
        self.event_ids_to_events.pop(event._id, None)
        self.event_analytics.pop(event._id, None)
        if self.server_app is not None:
            self.server_app.iterators_to_reset.discard(event._id)
        pending = self.pending_event_ids_session.get(event.session_hash, set())
        pending.discard(event._id)  # of a visitor who went away before its end
        if not pending:
            self.blocks.pending_diff_streams.pop(event.session_hash, None)


class Page(gr.Blocks):
    """A page whose events wait in a :class:`ForgetfulQueue`."""

    def queue(self, *args: Any, **kwargs: Any) -> Page:
        """Set the queue up, as :meth:`gradio.Blocks.queue` does."""
        super().queue(*args, **kwargs)
        made = self._queue
        self._queue = ForgetfulQueue(
            live_updates=made.live_updates, concurrency_count=made.max_thread_count,
            update_intervals=made.update_intervals, max_size=made.max_size, blocks=self,
            default_concurrency_limit=made.default_concurrency_limit,
        )  # fmt: skip
        return self
