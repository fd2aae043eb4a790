"""What the controls of the page's second tab do, without the page."""

from types import SimpleNamespace

import pytest

pytest.importorskip('gradio')

import gradio as gr

from mmc_plugin.demo.inbox import Inbox
from mmc_plugin.demo.networks import load_networks
from mmc_plugin.demo.video_tab import Videos

CONTROLS = ('', 'auto', 0.3)


@pytest.fixture(scope='module')
def videos(tiny_run):
    return Videos(load_networks([str(tiny_run)], 'cpu'), Inbox())


@pytest.fixture
def clip(videos):
    clip, *_ = videos.pan(SimpleNamespace(), None, *CONTROLS)
    videos.point(SimpleNamespace(x=0.5, y=0.4, beside=False), clip, *CONTROLS)
    return clip


def following(videos, clip):
    """Its words, one after another."""
    turn, _ = videos.begin(clip)
    return (news for _, news in videos.follow(clip, *CONTROLS, 160, turn))


@pytest.mark.parametrize('end', ['stop', 'begin', 'pan'])
def test_a_following_that_is_ended_says_so_last(videos, clip, end):
    ends = dict(
        stop=lambda: videos.stop(clip),
        begin=lambda: videos.begin(clip),  # anew
        pan=lambda: videos.pan(SimpleNamespace(), clip, *CONTROLS),  # another video
    )
    words = following(videos, clip)
    assert 'through 24 frames' in next(words)
    assert 'Frame 1 of 24' in next(words)
    answer = ends[end]()
    if end == 'stop':
        assert answer == gr.skip()  # the following itself has the last word
    (last,) = words
    assert 'Stopped.' in last and not clip.followed


def test_a_following_is_stopped_before_its_turn_and_begun_again(videos, clip):
    waiting = following(videos, clip)
    assert 'Stopped.' in videos.stop(clip)
    assert ['Stopped.' in each for each in waiting] == [True]
    *told, last = following(videos, clip)
    assert [f'Frame {place} of 24' in each for place, each in enumerate(told)][1:] == [True] * 24
    assert last == ''


def test_there_must_be_something_to_follow(videos, clip):
    videos.undo(clip, *CONTROLS)
    with pytest.raises(ValueError, match='nothing to follow'):
        videos.begin(clip)
    for act in (videos.begin, videos.stop):
        with pytest.raises(ValueError, match='no video'):
            act(None)
