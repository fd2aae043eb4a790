"""The first tab: click on an image."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import cv2
import gradio as gr
import numpy as np

from ..apis import patch_clusters, patch_colours
from ..errors import InputError
from ..visualization.patch_pictures import cluster_picture
from . import markup, parts
from .inbox import Inbox
from .networks import Network, Settings, level
from .pictures import cut_out, enlarged, heat, jpeg_uri, png_bytes
from .session import Picture, new_picture
from .uploads import IMAGE_BYTES, read_image

MOST_CHOSEN = 3  # networks that the page begins with
GRIDS = {1: '1', 2: '4, for 4 × the encode', 4: '16, for 16 × the encode'}  # 1 / stride
EDGES = {'as the patches': None, 'guided': 'guided', 'bilateral': 'bilateral'}  # refine
_DEFAULTS = dict(layer=-1, size=480)  # of PromptSegmenter
VIEWS = ('similarity', 'object', 'PCA colours', 'k-means')
HINT = (
    'Click on an object. Shift and click, the right button, or "beside it" marks what is not part '
    'of it.'
)
_SAVE = """(file) => {
  if (!file) return;
  const link = document.createElement('a');
  link.href = 'data:' + file.kind + ';base64,' + file.data;
  link.download = file.name;
  link.click();
}"""


class Clicks:
    """What the controls of the tab call.

    Args:
        networks (Mapping[str, Network]): By name.
        inbox (Inbox): Where visitors' files arrive.
    """

    def __init__(self, networks: Mapping[str, Network], inbox: Inbox) -> None:
        self.networks, self.inbox = networks, inbox
        self.samples = parts.sample_names()

    # An event comes first: Gradio puts it where the signature names it.
    def first(self, picture: Picture | None, *controls: Any):
        """Choose the first sample."""
        yield from self._sample(next(iter(self.samples)), controls)

    def sample(self, event: gr.EventData, picture: Picture | None, *controls: Any):
        """Choose a sample."""
        yield from self._sample(event.name, controls)

    def _sample(self, name: Any, controls: tuple):
        if name not in self.samples:
            raise InputError('There is no such sample.')
        image, given = read_image(self.samples[name].read_bytes())
        yield from self._shown(new_picture(name, image, given, sample=True), controls)

    def upload(self, event: gr.EventData, picture: Picture | None, *controls: Any):
        """Take a visitor's image."""
        image, given = self.inbox.take('image', event.key)
        name = PurePath(str(event.name)[-80:]).name or 'image'
        yield from self._shown(new_picture(name, image, given), controls)

    def _shown(self, picture: Picture, controls: tuple):
        """Show a new picture at once, then encode it."""
        settings = _settings(controls)
        names, _ = self._able(controls[0], settings)
        plain = self._plain(picture)
        for place, name in enumerate(names):
            words = f'Encoding with {name} …'
            progress = markup.progress(place, len(names), words)
            yield (
                picture,
                markup.stage([markup.row(picture.name, '', [plain])], words),
                '',
                progress,
                gr.skip(),
            )
            self._encode(picture, name, settings)
        yield self.draw(picture, *controls)

    def point(self, event: gr.EventData, picture: Picture | None, *controls: Any):
        """Add a point; the radio button and the Shift key both say where."""
        picture = _there(picture)
        self._able(controls[0], _settings(controls))  # a point that cannot be drawn is not kept
        beside = bool(event.beside) or controls[8] == 'beside it'
        picture.points.add(event.x, event.y, beside)
        return self.draw(picture, *controls)

    def undo(self, picture: Picture | None, *controls: Any):
        """Take the last point back."""
        picture = _there(picture)
        picture.points.undo()
        if 1 not in picture.points.labels:
            picture.points.clear()
        return self.draw(picture, *controls)

    def reset(self, picture: Picture | None, *controls: Any):
        """Take all points back."""
        picture = _there(picture)
        picture.points.clear()
        return self.draw(picture, *controls)

    def draw(self, picture: Picture | None, *controls: Any):
        """The stage, the line of Python, the news and the threshold."""
        picture = _there(picture)
        names, views, rule, threshold = controls[:4]
        settings = _settings(controls)
        names, unable = self._able(names, settings)
        clicked = bool(picture.points.places)
        rows, news, found = [], [], None
        for name in names:
            network = self.networks[name]
            tokens, seconds = self._encode(picture, name, settings)
            words = [f'{tokens.shape[1]} × {tokens.shape[0]} tokens']
            words.append(f'encoded in {seconds:.2f} s' if seconds > 0.02 else 'encoded before')
            shown = []
            if clicked:
                segment, seconds = network.click(
                    picture.image, picture.points.places, picture.points.labels,
                    level(rule, threshold), settings, _refine(controls),
                )  # fmt: skip
                found = found or segment
                words.append(f'click {1000 * seconds:.0f} ms')
                shown += self._segment_views(picture, name, segment, views, rule)
            shown += self._token_views(picture, name, tokens, views, int(controls[7]))
            if shown:
                rows.append(markup.row(name, ' · '.join(words), shown))
            news.append(f'{name}: {", ".join(words)}')
        rows += [markup.row(name, words, []) for name, words in unable.items()]
        news += unable.values()
        if not clicked:
            rows.insert(0, markup.row(picture.name, '. '.join(news), [self._plain(picture)]))
        hint = '' if clicked else HINT
        how = rule, threshold, _refine(controls)
        code = self._code(picture, names[0], settings, *how) if clicked else ''
        moved = found is not None and rule == 'otsu'
        slider = round(float(found.threshold), 3) if moved else gr.skip()
        heard = markup.message('. '.join(news), hidden=True)
        return picture, markup.stage(rows, hint), code, heard, slider

    def _encode(self, picture: Picture, name: str, settings: Settings):
        """Tokens of a picture, and the seconds that they took when it was first seen."""
        tokens, seconds = self.networks[name].encode(picture.image, settings)
        return tokens, picture.encoded.setdefault((name, settings), seconds)

    def _plain(self, picture: Picture) -> str:
        return markup.view(
            jpeg_uri(picture.image), f'The image {picture.name}', picture.name, picture.points
        )

    def _segment_views(self, picture, name, segment, views, rule) -> list[str]:
        kind = 'cosine of centred tokens' if rule == 'auto' else 'cosine'
        part, low, high = segment.mask.mean(), segment.similarity.min(), segment.similarity.max()
        drawn = dict(
            similarity=lambda: heat(picture.image, segment.similarity, segment.mask),
            object=lambda: cut_out(picture.image, segment.mask),
        )
        captions = dict(
            similarity=('Similarity', f'{kind} {low:.2f} to {high:.2f}'),
            object=('Object', f'above {segment.threshold:.2f}: {part:.0%} of the image'),
        )
        alts = dict(
            similarity=f'Similarity of {picture.name} to the clicked patch, by {name}',
            object=f'What is selected in {picture.name} by {name}, {part:.0%} of the image',
        )
        return [
            markup.view(
                jpeg_uri(draw()), alts[key], captions[key][0], picture.points, captions[key][1]
            )
            for key, draw in drawn.items()
            if key in views
        ]

    def _token_views(self, picture, name, tokens, views, clusters: int) -> list[str]:
        shown = []
        if 'PCA colours' in views:
            picture_ = enlarged(patch_colours(tokens), picture.image)
            alt = f'Principal components of the patches of {picture.name} as colours, by {name}'
            shown.append(
                markup.view(
                    jpeg_uri(picture_),
                    alt,
                    'PCA colours',
                    picture.points,
                    'three directions of most variance',
                )
            )
        if 'k-means' in views:
            labels = patch_clusters(tokens, clusters)
            alt = f'{clusters} groups of patches of {picture.name} by k-means, by {name}'
            shown.append(
                markup.view(
                    jpeg_uri(cluster_picture(picture.image, labels)),
                    alt,
                    'k-means',
                    picture.points,
                    f'k = {clusters}',
                )
            )
        return shown

    def save(self, picture: Picture | None, kind: str, *controls: Any) -> dict:
        """The mask or the similarity of the first network as a file for the browser."""
        picture = _there(picture)
        if not picture.points.places:
            raise InputError('There is nothing to save: click on an object first.')
        names, _, rule, threshold = controls[:4]
        able, _ = self._able(names, _settings(controls))
        found, _ = self.networks[able[0]].click(
            picture.image, picture.points.places, picture.points.labels,
            level(rule, threshold), _settings(controls), _refine(controls),
        )  # fmt: skip
        stem = PurePath(picture.name).stem
        if kind == 'mask':
            mask = 255 * found.mask.astype(np.uint8)
            mask = cv2.resize(mask, picture.given, interpolation=cv2.INTER_NEAREST)
            name, kind, content = f'{stem}_mask.png', 'image/png', png_bytes(mask)
        else:
            file = io.BytesIO()
            np.save(file, found.similarity)
            name, kind, content = (
                f'{stem}_similarity.npy',
                'application/octet-stream',
                file.getvalue(),
            )
        return dict(name=name, kind=kind, data=base64.b64encode(content).decode())

    def _code(self, picture, name, settings, rule, threshold, refine) -> str:
        """The click as Python, on the file as it was given."""
        network, points = self.networks[name], picture.points
        across, down = (
            a / b for a, b in zip(picture.given, (points.width, points.height), strict=True)
        )
        places = [(round(x * across, 1), round(y * down, 1)) for x, y in points.places]
        options = ''.join(
            f', {key}={value!r}'
            for key, value in (network.options(settings) | dict(refine=refine)).items()
            if value not in (None, _DEFAULTS.get(key))
        )
        image, weights, imports = repr(picture.name), repr(network.path), ''
        if picture.sample:
            image = f'find_photograph({image})'
            imports = 'from mmc_plugin.datasets.photographs import find_photograph\n'
        if network.is_reference:
            weights = 'find_reference()'
        names = ', find_reference' if network.is_reference else ''
        return (
            f'from mmc_plugin.apis import PromptSegmenter{names}\n{imports}\n'
            f'PromptSegmenter({weights}).segment(\n'
            f'    {image}, {places}, {points.labels},\n'
            f'    threshold={level(rule, threshold)!r}{options},\n).mask\n'
        )

    def _chosen(self, names: Any) -> list[str]:
        chosen = [name for name in self.networks if isinstance(names, list) and name in names]
        return chosen or [next(iter(self.networks))]

    def _able(self, names: Any, settings: Settings) -> tuple[list[str], dict[str, str]]:
        """The chosen networks that have such settings, and why the others have not, by name.

        Raises:
            ValueError: If none has them.
        """
        able, unable = [], {}
        for name in self._chosen(names):
            try:
                self.networks[name].options(settings)
            except InputError as error:
                unable[name] = str(error)
            else:
                able.append(name)
        if not able:
            raise InputError(' '.join(unable.values()))
        return able, unable


def _there(picture: Picture | None) -> Picture:
    if picture is None:
        raise InputError('The session has ended: choose an image again.')
    return picture


def _settings(controls: tuple) -> Settings:
    layer, size, finer = controls[4:7]
    if not (224 <= size <= 720 and finer in GRIDS):
        raise InputError('There is no such size or grid.')
    return Settings(int(size), int(layer), int(finer))


def _refine(controls: tuple) -> str | None:
    if controls[9] not in EDGES:
        raise InputError('There is no such way to find edges.')
    return EDGES[controls[9]]


def click_tab(networks: Mapping[str, Network], inbox: Inbox, page: gr.Blocks) -> gr.State:
    """Build the tab; returns the chosen picture."""
    clicks = Clicks(networks, inbox)
    names = list(networks)
    grids = {each for each in GRIDS for network in networks.values() if network.patch % each == 0}
    depth = max(network.depth for network in networks.values())
    picture = gr.State(None, time_to_live=3600)
    choose = parts.picker(
        parts.sample_pictures(),
        'Drop an image here, or choose a file (JPEG, PNG, WebP, BMP; at most 20 MB)',
        'image', 'image/jpeg,image/png,image/webp,image/bmp', IMAGE_BYTES,
    )  # fmt: skip
    with gr.Row():
        with gr.Column(scale=3, min_width=320):
            stage = parts.stage()
            news = gr.HTML(markup.message(''))
        with gr.Column(scale=1, min_width=280):
            side = gr.Radio(
                ['on the object', 'beside it'],
                value='on the object',
                label='A click is',
                elem_id='side',
            )
            with gr.Row(elem_classes='pair'):
                undo = gr.Button('Undo', size='sm', min_width=80, elem_id='undo')
                reset = gr.Button('Reset', size='sm', min_width=80, elem_id='reset')
            rule = parts.threshold_rule()
            threshold = gr.Slider(
                -0.2, 1, 0.3, step=0.005, label='Cosine above', elem_id='threshold'
            )
            views = gr.CheckboxGroup(
                list(VIEWS), value=list(VIEWS[:2]), label='Show', elem_id='views'
            )
            chosen = gr.CheckboxGroup(
                names,
                value=names[:MOST_CHOSEN],
                label='Networks, side by side',
                elem_id='networks',
                visible=len(names) > 1,
            )
            with gr.Accordion('Features', open=False):
                layer = gr.Slider(1, depth, 1, step=1, label='Layer, from the end', elem_id='layer')
                size = gr.Slider(
                    224, 720, 480, step=16, label='Input size in pixels', elem_id='size'
                )
                finer = gr.Radio(
                    [(words, each) for each, words in GRIDS.items() if each in grids],
                    value=1, label='Tokens a patch', elem_id='grid',
                )  # fmt: skip
                edges = gr.Radio(
                    list(EDGES), value=next(iter(EDGES)), label='Edges of the map', elem_id='edges'
                )
                clusters = gr.Slider(2, 10, 4, step=1, label='k of k-means', elem_id='clusters')
            with gr.Row(elem_classes='pair'):
                mask = gr.Button('Mask (PNG)', size='sm', min_width=80, elem_id='save-mask')
                similarity = gr.Button(
                    'Similarity (NPY)', size='sm', min_width=80, elem_id='save-similarity'
                )
            file = gr.JSON(visible=False)
    code = gr.Code(
        label='The click in Python', language='python', interactive=False, lines=1,
        buttons=['copy'], wrap_lines=True, show_line_numbers=False, elem_id='code',
    )  # fmt: skip
    controls = [chosen, views, rule, threshold, layer, size, finer, clusters, side, edges]
    inputs, outputs = [picture, *controls], [picture, stage, code, news, threshold]
    settings = dict(inputs=inputs, outputs=outputs, **parts.AT_ONCE)

    parts.pointed(stage, clicks.point, **settings)
    choose.sample(parts.said(clicks.sample), trigger_mode='multiple', **settings)
    choose.upload(parts.said(clicks.upload), **settings)
    stage.undo(parts.said(clicks.undo), trigger_mode='multiple', **settings)
    undo.click(parts.said(clicks.undo), trigger_mode='multiple', **settings)
    reset.click(parts.said(clicks.reset), **settings)
    draw = parts.said(clicks.draw)
    # Not when a slider is let go, which keys never do.
    for control in (chosen, views, rule, layer, size, finer, clusters, edges):
        control.input(draw, trigger_mode='always_last', **settings)
    # Whoever moves the slider wants that threshold.
    threshold.input(None, None, rule, js=parts.BY_HAND)
    threshold.input(
        parts.said(lambda picture, a, b, _, *rest: clicks.draw(picture, a, b, 'number', *rest)),
        trigger_mode='always_last', **settings,
    )  # fmt: skip
    for button, kind in ((mask, 'mask'), (similarity, 'similarity')):
        save = parts.said(lambda picture, *rest, kind=kind: clicks.save(picture, kind, *rest))
        button.click(save, inputs, file, **parts.AT_ONCE).then(None, file, None, js=_SAVE)
    page.load(parts.said(clicks.first), **settings)
    return picture
