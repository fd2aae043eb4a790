"""The third tab: what the student paints where an image was corrupted."""

from __future__ import annotations

from collections.abc import Mapping

import gradio as gr
import numpy as np

from ..apis import reconstruct
from ..errors import InputError
from . import markup, parts
from .networks import Network
from .pictures import data_uri, png_bytes
from .session import Picture
from .uploads import read_image


class Reconstructions:
    """What the controls of the tab call.

    Args:
        networks (Mapping[str, Network]): By name.
    """

    def __init__(self, networks: Mapping[str, Network]) -> None:
        self.networks = {name: each for name, each in networks.items() if each.student}

    def draw(self, picture: Picture | None, coverage: float, filling: str, seed: float) -> str:
        """The corrupted image and its reconstruction, by each student."""
        if picture is None:
            raise InputError('There is no image: choose one in the first tab.')
        if not 0 <= seed < 2**31:
            raise InputError('The number of the mask must be from 0 to 2147483647.')
        other = None
        if filling == 'another image':
            names = [each for each in parts.sample_names().items() if each[0] != picture.name]
            other, _ = read_image(names[int(seed) % len(names)][1].read_bytes())
        rows = []
        for name, network in self.networks.items():
            made = reconstruct(network.student, picture.image, float(coverage), int(seed), other)
            share = f'{made.mask.mean():.0%} filled with {made.filling}'
            error = np.abs(made.reconstructed.astype(int) - made.clean)[made.mask].mean() / 255
            side = len(made.clean)
            views = [
                markup.view(
                    data_uri('image/png', png_bytes(image)),
                    f'{what} {picture.name}',
                    what,
                    note=note,
                )
                for image, what, note in (
                    (made.clean, 'Clean', f'{side} × {side} pixels'),
                    (made.corrupted, 'Corrupted', share),
                    (made.reconstructed, 'Reconstruction', f'off by {error:.0%} on average'),
                )
            ]
            rows.append(markup.row(name, 'student', views))
        return f'<div class="small">{markup.stage(rows)}</div>'


def reconstruction_tab(networks: Mapping[str, Network], picture: gr.State, tab: gr.Tab) -> None:
    """Build the tab."""
    drawn = Reconstructions(networks)
    for each in networks.values():
        if not each.student:
            gr.HTML(markup.message(f'Not {each.name}: {each.no_student}'))
    if not drawn.networks:
        gr.HTML(markup.message(
            'Checkpoints of a run of MMC, SiT or MC-SSL hold a student with a reconstruction head: '
            'start the page with one.'
        ))  # fmt: skip
        return
    with gr.Row():
        coverage = gr.Slider(
            0.05, 0.95, 0.5, step=0.05, label='Corrupted at most', elem_id='coverage'
        )
        filling = gr.Radio(
            ['noise or zeros', 'another image'], value='noise or zeros', label='Filled with'
        )
        seed = gr.Number(0, precision=0, label='Number of the mask', minimum=0)
    shown = gr.HTML(markup.message(''), elem_id='reconstruction')
    settings = dict(
        fn=parts.said(drawn.draw), inputs=[picture, coverage, filling, seed], outputs=shown,
        trigger_mode='always_last', **parts.AT_ONCE,
    )  # fmt: skip
    for event in (tab.select, coverage.input, filling.input, seed.input):
        event(**settings)
