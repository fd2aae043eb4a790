"""The page, and the server behind it."""

from __future__ import annotations

from collections.abc import Mapping

import gradio as gr
from fastapi import FastAPI

from . import markup, parts
from .click_tab import click_tab
from .guard import Guard
from .inbox import Inbox
from .networks import Network
from .queue import Page
from .reconstruction_tab import reconstruction_tab
from .video_tab import video_tab

TITLE = 'One click, one object'
MOST_SESSIONS = 64  # whose pictures are kept; the least recently used one goes first
MOST_WAITING = 128
FONTS = ['system-ui', 'DejaVu Sans', 'sans-serif']  # of the machine: nothing is fetched


def build_page(networks: Mapping[str, Network], inbox: Inbox) -> gr.Blocks:
    """The page for some networks, which takes files out of the inbox."""
    with Page(title=TITLE, analytics_enabled=False) as page:
        gr.HTML(
            markup.header(
                TITLE, [(each.name, each.place, each.words) for each in networks.values()]
            )
        )
        with gr.Tab('Click'):
            picture = click_tab(networks, inbox, page)
        with gr.Tab('Video'):
            video_tab(networks, inbox)
        with gr.Tab('Reconstruct') as tab:
            reconstruction_tab(networks, picture, tab)
    page.state_session_capacity = MOST_SESSIONS
    page.queue(max_size=MOST_WAITING, api_open=False)
    return page


def build_app(networks: Mapping[str, Network]) -> Guard:
    """The ASGI application of the page."""
    theme = gr.themes.Soft(
        primary_hue='emerald',
        neutral_hue='slate',
        font=FONTS,
        font_mono=['ui-monospace', 'monospace'],
    )
    both = dict(
        block_title_background_fill='none', block_title_text_color='*body_text_color',
        block_label_background_fill='none', block_label_text_color='*body_text_color',
        # Dark enough for white letters.
        checkbox_label_background_fill_selected='*primary_700',
        checkbox_background_color_selected='*primary_800',
        button_primary_background_fill='*primary_700',
        button_primary_background_fill_hover='*primary_800',
    )  # fmt: skip
    theme.set(
        block_title_text_weight='500', block_title_padding='0', color_accent='*primary_700',
        slider_color='*primary_700', **both, **{f'{key}_dark': each for key, each in both.items()},
    )  # fmt: skip
    inbox, app = Inbox(), FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_route('/upload/{kind}', inbox.receive, methods=['POST'])
    app = gr.mount_gradio_app(
        app, build_page(networks, inbox), '/',
        theme=theme, css=parts.CSS, footer_links=[], show_error=False, ssr_mode=False,
    )  # fmt: skip
    return Guard(app)
