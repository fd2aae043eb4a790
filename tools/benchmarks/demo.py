"""The page of tools/demo.sh under many visitors: times, memory, and whose image each one sees.

A server runs in a process of its own, on a ViT-S/16 with random weights unless a checkpoint is
named. Visitors speak with it as the page does.

- ``start``: from the command to the first answer of the page, and the processor time of it.
- ``encode_over_forward``: the first encode of an image over the bare forward of the backbone at the
  same size, and ``click_ms``: a click after it, from the event to the HTML; both in this process,
  in turn, processor time of one thread.
- ``together``: visitors who upload images of their own and click on them at the same time; what
  the server worked and what a visitor waited, by the wall clock.
- ``memory``: of the server, then and while one visitor uploads one image after another, at 224².

Example:
    python tools/benchmarks/demo.py
"""

import argparse
import base64
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import cv2
import httpx
import numpy as np
import torch
from timing import WALL, clock, in_turns, ratio, timed

from mmc_plugin.datasets.photographs import find_photographs
from mmc_plugin.demo.click_tab import Clicks
from mmc_plugin.demo.inbox import Inbox
from mmc_plugin.demo.networks import Settings, load_networks
from mmc_plugin.demo.session import new_picture

ROOT = Path(__file__).resolve().parents[2]
BITS, SQUARE = 5, 48  # pixels


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--checkpoint', help='by default a ViT-S/16 with random weights')
    parser.add_argument('--visitors', type=int, default=20, help=f'at most {2**BITS}')
    parser.add_argument('--seconds', type=float, default=120, help='that they click')
    parser.add_argument(
        '--images', type=int, default=500, help='images that are uploaded one after the other'
    )
    parser.add_argument('--repeats', type=int, default=7, help='turns of encode and click')
    parser.add_argument('--threads', type=int, default=2, help='of the server')
    parser.add_argument('--out', type=Path, help='JSON file for the results')
    return parser.parse_args(argv)


class Server:
    """``python -m mmc_plugin.demo`` in a process of its own.

    Args:
        checkpoints (list[str]): To serve.
        folder (str): Its working and temporary folder.
        threads (int): Of its network.
    """

    def __init__(self, checkpoints, folder, threads=1):
        environment = dict(
            os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS=str(threads), TMPDIR=folder
        )
        environment.pop('GRADIO_TEMP_DIR', None)
        command = [sys.executable, '-m', 'mmc_plugin.demo', *checkpoints, '--port', '0']
        begin = clock(WALL)
        self.log = tempfile.TemporaryFile('w+')
        self.process = subprocess.Popen(
            [*command, '--device', 'cpu'], cwd=folder, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=self.log,
        )  # fmt: skip
        for line in self.process.stdout:
            if found := re.search(r'The page is at (http://[\d.:]+)', line):
                self.url = found[1]
                break
        else:
            raise RuntimeError(f'the server did not start: {self.printed()}')
        httpx.get(self.url, timeout=60).raise_for_status()
        self.start = clock(WALL) - begin
        ticks = Path(f'/proc/{self.process.pid}/stat').read_text().rpartition(')')[2].split()[11:13]
        self.start_cpu = sum(map(int, ticks)) / os.sysconf('SC_CLK_TCK')

    def memory(self):
        """MiB that it holds."""
        status = Path(f'/proc/{self.process.pid}/status').read_text()
        return int(re.search(r'VmRSS:\s+(\d+)', status)[1]) / 1024

    def printed(self):
        """What it has complained about so far."""
        self.log.seek(0)
        return self.log.read()

    def close(self):
        """End it, as Ctrl-C does; returns what it has complained about."""
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=30)
        with self.log:
            return self.printed()


class Visitor:
    """A session of the page.

    Args:
        url (str): Of the page.
    """

    def __init__(self, url):
        self.client = httpx.Client(base_url=url, timeout=600)
        self.session = secrets.token_hex(6)
        config = self.client.get('/config').json()
        values = {each['id']: each['props'].get('value') for each in config['components']}
        self.events, self.inputs = {}, {}
        for each in config['dependencies']:
            self.events[each['api_name']] = each['id']
            self.inputs[each['api_name']] = [values[place] for place in each['inputs']]

    def send(self, image, name):
        """Upload an image (H, W, 3), RGB, and show it; returns the stage's HTML."""
        content = cv2.imencode('.png', image[..., ::-1])[1].tobytes()
        answer = self.client.post(f'/upload/image?sizes={len(content)}', content=content)
        return self.event('upload', dict(name=name, key=answer.json()['key']))[0]

    def click(self, x, y):
        """Click; returns the stage's HTML and the seconds that the server worked."""
        return self.event('point', dict(x=x, y=y, beside=False))

    def event(self, name, data):
        """The HTML that an event ends with, and the seconds that the server worked for it."""
        body = dict(
            data=self.inputs[name], event_data=data, fn_index=self.events[name], trigger_id=None,
            session_hash=self.session,
        )  # fmt: skip
        self.client.post('/gradio_api/queue/join', json=body).raise_for_status()
        where = dict(session_hash=self.session)
        with self.client.stream('GET', '/gradio_api/queue/data', params=where) as lines:
            for line in lines.iter_lines():
                message = json.loads(line[5:]) if line.startswith('data:') else {}
                if message.get('msg') == 'process_completed':
                    output = message['output']
                    if not message['success']:
                        raise RuntimeError(f'{name}: {output.get("error")}')
                    return output['data'][1], output['duration']
        raise RuntimeError(f'{name}: the server closed the connection')

    def close(self):
        """Go away."""
        self.client.close()


def pictures(html):
    """The pictures in a stage, RGB."""
    found = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', html)
    return [
        cv2.imdecode(np.frombuffer(base64.b64decode(each), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        for each in found
    ]


def some_images(count, seed=0):
    """Crops of photographs, 480 × 360 pixels, all different."""
    photographs = [cv2.imread(str(path))[..., ::-1] for path in find_photographs()]
    rng = np.random.default_rng(seed)
    for place in range(count):
        image = photographs[place % len(photographs)]
        side = int(min(image.shape[0], image.shape[1] * 0.75) * rng.uniform(0.4, 0.9))
        top, left = (rng.integers(0, a - b) for a, b in zip(image.shape, (side, 4 * side // 3)))
        crop = image[top : top + side, left : left + 4 * side // 3]
        yield cv2.resize(crop, (480, 360), interpolation=cv2.INTER_LINEAR)


def stamped(image, number):
    """An image with a number in it: a bright and a dark square for each of its bits."""
    image = image.copy()
    for bit in range(BITS):
        for side in range(2):
            left = 2 * SQUARE * bit + SQUARE * side
            image[-SQUARE:, left : left + SQUARE] = 255 * ((number >> bit & 1) ^ side)
    return image


def stamp_of(picture):
    """The number in a picture of the object; what is not selected is pale there, white or not."""
    grey = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY)[-SQUARE:]
    squares = [
        np.median(grey[:, left : left + SQUARE]) for left in range(0, 2 * BITS * SQUARE, SQUARE)
    ]
    return sum((squares[2 * bit] > squares[2 * bit + 1]) << bit for bit in range(BITS))


def together(server, visitors, seconds):
    """Click at the same time: seconds of each for server and visitor, mistakes, memory in MiB."""
    images = [stamped(image, place) for place, image in enumerate(some_images(visitors))]
    clicks, mistakes, highest = [], [], 0.0
    until = clock(WALL) + seconds

    def visit(place):
        rng, number = np.random.default_rng(place), 0
        visitor = Visitor(server.url)
        try:
            visitor.send(images[place], f'image{place}.png')
            while clock(WALL) < until:
                if number % 10 == 9:
                    visitor.event('reset', None)
                number += 1
                click = partial(visitor.click, *rng.uniform(0.05, 0.95, 2))
                waited, (html, worked) = timed(click, WALL)
                clicks.append((worked, waited))
                found = stamp_of(pictures(html)[1])
                if f'image{place}.png' not in html or found != place:
                    mistakes.append(f'visitor {place} saw image {found}')
        except Exception as error:  # a thread's own would be lost
            mistakes.append(f'visitor {place}: {error!r}')
        finally:
            visitor.close()

    threads = [threading.Thread(target=visit, args=(place,)) for place in range(visitors)]
    for each in threads:
        each.start()
    while any(each.is_alive() for each in threads):
        highest = max(highest, server.memory())
        time.sleep(0.5)
    return np.array(clicks), mistakes, highest


def one_after_another(server, count):
    """Memory after each of some images of one visitor, MiB."""
    visitor, memory = Visitor(server.url), []
    inputs = visitor.inputs['upload']
    inputs[inputs.index(480)] = 224
    for place, image in enumerate(some_images(count, seed=1)):
        visitor.send(image, f'{place}.png')
        memory.append(server.memory())
    visitor.close()
    return np.array(memory)


def in_process(checkpoint, repeats):
    """Seconds (repeats, 3) of the bare forward, a first encode and a click after it."""
    clicks = Clicks(load_networks([checkpoint], 'cpu'), Inbox())
    (network,) = clicks.networks.values()
    controls = [
        [network.name],
        ['similarity', 'object'],
        'auto',
        0.3,
        1,
        480,
        1,
        4,
        'on the object',
        'as the patches',
    ]
    images = some_images(10**6, seed=2)
    model = network.segmenter.model
    picture = new_picture('a.png', next(images), (480, 360))
    inputs = model.prepare([torch.from_numpy(picture.image.transpose(2, 0, 1))], 480)
    event = SimpleNamespace(x=0.4, y=0.6, beside=False)
    clicks.point(event, picture, *controls)

    def forward():
        with torch.no_grad():
            model.backbone(inputs)

    def encode():
        network.encode(next(images), Settings())

    def click():
        picture.points.clear()
        clicks.point(event, picture, *controls)

    return in_turns([forward, encode, click], repeats, 2, 'cpu')


def random_vit(path):
    """A checkpoint of a ViT-S/16 as mmpretrain draws it."""
    from mmengine.registry import init_default_scope
    from mmpretrain.models import VisionTransformer

    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    model = VisionTransformer('deit-small', img_size=224, patch_size=16)
    state = {f'teacher.backbone.{key}': value for key, value in model.state_dict().items()}
    torch.save(dict(state_dict=state), path)
    return path


def main(argv=None):
    args = parse_args(argv)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = args.checkpoint or random_vit(os.path.join(folder, 'vits16.pth'))
        times = in_process(os.path.abspath(checkpoint), args.repeats)
        with tempfile.TemporaryDirectory() as home:
            server = Server([os.path.abspath(checkpoint)], home, args.threads)
            try:
                before = server.memory()
                clicks, mistakes, highest = together(server, args.visitors, args.seconds)
                memory = one_after_another(server, args.images)
                left = [each.name for each in Path(home).rglob('*') if each.is_file()]
            finally:
                complaints = 'Traceback' in server.close()
    fifths = np.linspace(0, len(memory) - 1, 6).astype(int)[1:]
    found = dict(
        load=os.getloadavg(),
        start_s=server.start,
        start_cpu_s=server.start_cpu,
        encode_over_forward=ratio(times[:, 1], times[:, 0]),
        click_ms=1000 * np.median(times[:, 2]),
        together=dict(
            clicks=len(clicks),
            worked_ms=1000 * np.median(clicks[:, 0]),
            waited_ms=1000 * np.median(clicks[:, 1]),
            mistakes=mistakes,
        ),
        memory_mib=dict(
            at_start=before,
            together=highest,
            after_images={int(each) + 1: memory[each] for each in fifths},
        ),
        files_left=left,
        tracebacks=complaints,
    )
    print(json.dumps(found, indent=2))
    if args.out:
        args.out.write_text(json.dumps(found, indent=2))


if __name__ == '__main__':
    main()
