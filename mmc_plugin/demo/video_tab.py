"""The second tab: follow what was clicked through a video."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

import cv2
import gradio as gr
import numpy as np

from ..apis.features import to_pixels
from ..errors import InputError
from ..visualization.video import draw_objects, write_video
from ..wording import counted
from . import markup, parts
from .inbox import Inbox
from .networks import Network, Settings, level
from .pictures import cut_out, data_uri, jpeg_uri
from .session import Clip, new_clip
from .uploads import MOST_FRAMES, VIDEO_BYTES, read_image

FRAMES_A_SECOND = 12
PAN = 'a pan over the cat'
STOPPED = markup.message('Stopped.')


class Videos:
    """What the controls of the tab call.

    Args:
        networks (Mapping[str, Network]): By name.
        inbox (Inbox): Where visitors' files arrive.
    """

    def __init__(self, networks: Mapping[str, Network], inbox: Inbox) -> None:
        self.networks, self.inbox = networks, inbox

    def upload(self, event: gr.EventData, old: Clip | None, name: str, rule: str, threshold: float):
        """Take a visitor's video, or the images of one."""
        frames, more = self.inbox.take('clip', event.key)
        _end(old)
        clip = self._clip(PurePath(str(event.name)[-80:]).name or 'video', frames)
        note = ' There are more; the page takes these.' if more else ''
        return self._shown(clip, name, rule, threshold, f'{counted(len(frames), "frame")}.{note}')

    def pan(self, event: gr.EventData, old: Clip | None, name: str, rule: str, threshold: float):
        """A video for those who have none: a window that moves over a sample."""
        _end(old)
        path = next(iter(parts.sample_names().values()))
        image, _ = read_image(path.read_bytes())
        height, width = image.shape[:2]
        frames = []
        for part in np.linspace(0, 1, 24):
            left = round(part * 0.25 * width)
            top = round((0.5 - 0.5 * np.cos(2 * np.pi * part)) * 0.15 * height)
            frame = image[top : top + round(0.85 * height), left : left + round(0.75 * width)]
            frames.append(cv2.imencode('.jpg', frame[..., ::-1])[1].tobytes())
        return self._shown(
            self._clip(PAN, frames), name, rule, threshold, f'{counted(len(frames), "frame")}.'
        )

    def point(self, event: gr.EventData, clip: Clip | None, name: str, rule: str, threshold: float):
        """Add a point on the first frame."""
        clip = _there(clip)
        clip.points.add(event.x, event.y, bool(event.beside))
        return self._shown(clip, name, rule, threshold)

    def undo(self, clip: Clip | None, name: str, rule: str, threshold: float):
        """Take the last point back."""
        clip = _there(clip)
        clip.points.undo()
        if 1 not in clip.points.labels:
            clip.points.clear()
        return self._shown(clip, name, rule, threshold)

    def draw(self, clip: Clip | None, name: str, rule: str, threshold: float):
        """The first frame with what is selected in it."""
        return self._shown(_there(clip), name, rule, threshold)

    def _clip(self, name: str, frames: list[bytes]) -> Clip:
        return new_clip(name, frames, to_pixels(frames[0]).permute(1, 2, 0).numpy())

    def _network(self, name: Any) -> Network:
        return self.networks.get(name) or next(iter(self.networks.values()))

    def _select(self, clip: Clip, name: str, rule: str, threshold: float):
        points = clip.points
        found, _ = self._network(name).click(
            clip.first, points.places, points.labels, level(rule, threshold), Settings()
        )
        return found

    def _shown(self, clip: Clip, name, rule, threshold, words: str = ''):
        if clip.points.places:
            found = self._select(clip, name, rule, threshold)
            picture = cut_out(clip.first, found.mask)
            alt = f'What is selected in the first frame of {clip.name}'
            hint = 'Press Follow, or click again.'
            words = words or f'{found.mask.mean():.0%} of the first frame is selected.'
        else:
            picture, alt = clip.first, f'The first frame of {clip.name}'
            hint = 'Click on what to follow in the first frame.'
        views = [markup.view(jpeg_uri(picture), alt, f'First frame of {clip.name}', clip.points)]
        page = markup.stage(
            [markup.row(clip.name, counted(len(clip.frames), 'frame'), views)], hint
        )
        return clip, page, markup.message(words)

    def begin(self, clip: Clip | None):
        """Take a number for a following; the one before it ends."""
        clip = _there(clip)
        if not clip.points.places:
            raise InputError('There is nothing to follow: click on it in the first frame.')
        _end(clip)
        return clip.turn, markup.message('One moment, one video is worked on after another …')

    def stop(self, clip: Clip | None):
        """End the following; one that runs says so itself, after all that it said before."""
        clip = _there(clip)
        _end(clip)
        return gr.skip() if clip.followed else STOPPED

    def follow(self, clip: Clip | None, name: str, rule: str, threshold: float, size: int, turn):
        """Follow the object; yields progress, at last the video."""
        clip = _there(clip)
        if not 160 <= size <= 480:
            raise InputError('There is no such size.')
        clip.followed = True
        try:
            yield from self._followed(clip, name, rule, threshold, int(size), turn)
        finally:
            clip.followed = False

    def _followed(self, clip: Clip, name: str, rule: str, threshold: float, size: int, turn):
        if clip.turn != turn:
            yield '', STOPPED
            return
        mask = self._select(clip, name, rule, threshold).mask
        if not mask.any():
            raise InputError('The click selects nothing: lower the threshold.')
        total, start, masks = len(clip.frames), time.perf_counter(), []
        yield '', markup.progress(0, total, f'Following through {counted(total, "frame")} …')
        for found in self._network(name).follow(clip.frames, mask, size):
            if clip.turn != turn:
                yield '', STOPPED
                return
            masks.append(found)
            seconds = (time.perf_counter() - start) / len(masks)
            words = f'Frame {len(masks)} of {total}, {seconds:.2f} s a frame'
            yield gr.skip(), markup.progress(len(masks), total, words)
        frames = (
            draw_objects(to_pixels(frame).permute(1, 2, 0).numpy(), mask)
            for frame, mask in zip(clip.frames, masks, strict=True)
        )
        with tempfile.TemporaryDirectory(prefix='mmc-demo-') as folder:
            path = os.path.join(folder, 'followed.webm')
            write_video(path, frames, FRAMES_A_SECOND)
            video = data_uri('video/webm', Path(path).read_bytes())
        seconds = time.perf_counter() - start
        yield (
            markup.player(video, f'Followed through {counted(total, "frame")} in {seconds:.0f} s'),
            '',
        )


def _there(clip: Clip | None) -> Clip:
    if clip is None:
        raise InputError('There is no video: choose one, or the pan over the cat.')
    return clip


def _end(clip: Clip | None) -> None:
    """Let a following end after the frame that it is at."""
    if clip is not None:
        clip.turn += 1


def video_tab(networks: Mapping[str, Network], inbox: Inbox) -> None:
    """Build the tab."""
    videos, names = Videos(networks, inbox), list(networks)
    clip = gr.State(None, time_to_live=3600)
    choose = parts.picker(
        parts.sample_pictures()[:1],
        f'Drop a short video or a folder of its frames here (at most {VIDEO_BYTES >> 20} MB, '
        f'{MOST_FRAMES} frames), or take the pan over the cat',
        'clip', 'video/*,image/jpeg,image/png,image/webp,image/bmp', VIDEO_BYTES, MOST_FRAMES,
    )  # fmt: skip
    with gr.Row():
        with gr.Column(scale=3, min_width=320):
            stage = gr.HTML(markup.stage([], 'Choose a video first.'), js_on_load=parts.STAGE_JS)
            news = gr.HTML(markup.message(''))
            result = gr.HTML('', elem_classes='followed', elem_id='followed')
        with gr.Column(scale=1, min_width=280):
            name = gr.Radio(names, value=names[0], label='Network', visible=len(names) > 1)
            rule = parts.threshold_rule()
            threshold = gr.Slider(-0.2, 1, 0.3, step=0.005, label='Cosine above')
            size = gr.Slider(160, 480, 320, step=16, label='Pixels a side', elem_id='frame-size')
            with gr.Row(elem_classes='pair'):
                undo = gr.Button('Undo', size='sm', min_width=80)
                stop = gr.Button('Stop', size='sm', min_width=80)
            with gr.Row(elem_classes='pair'):
                follow = gr.Button('Follow', variant='primary', elem_id='follow')
    controls, outputs = [name, rule, threshold], [clip, stage, news]
    settings = dict(outputs=outputs, **parts.AT_ONCE)
    choose.upload(parts.said(videos.upload), [clip, *controls], **settings)
    choose.sample(parts.said(videos.pan), [clip, *controls], **settings)
    parts.pointed(stage, videos.point, [clip, *controls], **settings)
    for event in (stage.undo, undo.click):
        event(parts.said(videos.undo), [clip, *controls], trigger_mode='multiple', **settings)
    threshold.input(None, None, rule, js=parts.BY_HAND)
    by_hand = parts.said(lambda clip, name, _, value: videos.draw(clip, name, 'number', value))
    threshold.input(by_hand, [clip, *controls], trigger_mode='always_last', **settings)
    for event in (name.input, rule.input):
        event(parts.said(videos.draw), [clip, *controls], trigger_mode='always_last', **settings)
    # Beside the clicks of others, which come between two frames.
    turn = gr.Number(0, precision=0, visible=False)
    numbered = follow.click(
        parts.said(videos.begin), clip, [turn, news], trigger_mode='multiple', **parts.BESIDE
    )
    numbered.success(
        parts.said(videos.follow), [clip, *controls, size, turn], [result, news],
        trigger_mode='multiple', concurrency_limit=1, concurrency_id='videos',
        show_progress='hidden',
    )  # fmt: skip
    stop.click(parts.said(videos.stop), clip, news, trigger_mode='multiple', **parts.BESIDE)
