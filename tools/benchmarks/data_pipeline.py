"""Images per second of the pretraining data pipeline on one core, against torchvision on PIL.

Both sides read JPEG files of 500x375 pixels, the typical size of ImageNet, and make two augmented
views and their GMML masks from each:

- ``mmc_plugin``: the registered transforms as the configs use them, ending in uint8 tensors;
- ``+ normalise``: the same, and both views converted to RGB float32 and normalised on this core,
  which training leaves to the device;
- ``colours left to the device``: the first, with the numbers of colours and blur in place of their
  pixels (``DrawColours``): the part of the pipeline that stays on this core;
- ``without masks``: the first, for a comparison with the last;
- ``torchvision on PIL``: the pipeline of the SiT release, ending in normalised float32 tensors,
  with the masks drawn block by block on a torch tensor;
- ``DINO``: the two global views of the DINO and iBOT releases (``DataAugmentationDINO``), step by
  step, without local crops and without masks.

They run in turn on the same files, again and again, and the ratio of each turn to its own
baseline goes into the median, so a machine that slows down for a while spoils neither side.

Example:
    python tools/benchmarks/data_pipeline.py
"""

import argparse
import platform
import random
import tempfile
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from PIL import Image, ImageFilter, ImageOps
from skimage import data as skimage_data
from sklearn.datasets import load_sample_images
from timing import in_turns, ratio
from torchvision import transforms

import mmc_plugin  # noqa: F401  registers the transforms

JPEG_SIZE = (500, 375)  # width, height
MEAN_RGB = (123.675, 116.28, 103.53)
STD_RGB = (58.395, 57.12, 57.375)
BASELINE = 'torchvision on PIL'
DINO = 'DINO'


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--size', type=int, default=224, help='side of the views in pixels')
    parser.add_argument('--align', type=int, default=16, help='grid of the mask blocks in pixels')
    parser.add_argument(
        '--megapixels',
        type=float,
        nargs='*',
        default=[],
        help='instead, compare LoadViews with LoadImage and MultiView on photographs of this size',
    )
    parser.add_argument('--images', type=Path, help='a folder of JPEGs; else ten photographs')
    parser.add_argument('--repeats', type=int, default=15, help='turns that enter the median')
    parser.add_argument('--rounds', type=int, default=5, help='passes over the files in one turn')
    return parser.parse_args()


def photographs():
    """The colour photographs that scikit-image and scikit-learn ship, as RGB uint8 arrays."""
    left, right, _ = skimage_data.stereo_motorcycle()
    return [
        skimage_data.astronaut(),
        skimage_data.coffee(),
        skimage_data.chelsea(),
        skimage_data.rocket(),
        skimage_data.hubble_deep_field(),
        skimage_data.retina(),
        left,
        right,
        *load_sample_images().images,
    ]


def write_jpegs(folder):
    """Write the photographs as JPEG files of 500x375 pixels and return their paths."""
    paths = []
    for index, photograph in enumerate(photographs()):
        image = ImageOps.fit(Image.fromarray(photograph), JPEG_SIZE, Image.BICUBIC)
        paths.append(str(folder / f'{index}.jpg'))
        image.save(paths[-1], quality=95)
    return paths


def compare_large(megapixels, repeats):
    """Print how many times faster views are made of photographs that are decoded smaller."""
    init_default_scope('mmpretrain')
    view = [dict(type='ViewCrop', size=224)]
    steps = dict(num_views=[1, 1], transforms=[view, view])
    plain = Compose([dict(type='LoadImage'), dict(type='MultiView', **steps)])
    fused = Compose([dict(type='LoadViews', **steps)])
    side = int((megapixels * 1e6 / 12) ** 0.5)
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, image in enumerate(photographs()[:4]):
            paths.append(f'{folder}/{number}.jpg')
            large = cv2.resize(image, (4 * side, 3 * side), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(paths[-1], large[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
        runs = [
            partial(passes, lambda path, p=each: p(dict(img_path=path)), paths, 1)
            for each in (plain, fused)
        ]
        times = in_turns(runs, repeats, warmup=1, device='cpu').T
    print(f'{megapixels:g} megapixels: LoadViews {ratio(times[0], times[1])} times as fast')


def plugin_pipeline(size, align=None, device=False):
    """The pipeline of the configs, as a function of a path.

    Without masks where align is None, without the pixels of colours and blur where device is set.
    """

    def view(blur_prob, solarize_prob):
        return [
            dict(type='ViewCrop', size=size, scale=(0.2, 1.0)),
            dict(type='ViewFlip', prob=0.5),
            dict(
                type='ViewColorJitter',
                brightness=0.4,
                contrast=0.4,
                saturation=0.4,
                hue=0.1,
                prob=0.8,
            ),
            dict(type='ViewGrayscale', prob=0.2),
            dict(type='ViewGaussianBlur', sigma=(0.1, 2.0), prob=blur_prob),
            dict(type='ViewSolarize', threshold=128, prob=solarize_prob),
        ]

    init_default_scope('mmpretrain')
    views = [view(1.0, 0.0), view(0.1, 0.2)]
    cut = [each[:2] for each in views] if device else views
    pipeline = Compose(
        [
            dict(type='LoadViews', num_views=[1, 1], transforms=cut),
            *([dict(type='DrawColours', transforms=[v[2:] for v in views])] if device else []),
            *([] if align is None else [dict(type='GMMLMask', align=align)]),
            dict(type='PackViews'),
        ]
    )
    return lambda path: pipeline(dict(img_path=path, sample_idx=0))


def normalised(pipeline):
    """Follow a pipeline of uint8 BGR views by the conversion that training does on the device."""
    mean = torch.tensor(MEAN_RGB).view(3, 1, 1)
    std = torch.tensor(STD_RGB).view(3, 1, 1)

    def run(path):
        sample = pipeline(path)
        return [view.flip(0).float().sub_(mean).div_(std) for view in sample['inputs']['views']]

    return run


class PILBlur:
    """Gaussian blur of PIL with probability ``prob`` and a radius uniform in [.1, 2]."""

    def __init__(self, prob):
        self.prob = prob

    def __call__(self, image):
        if random.random() < self.prob:
            image = image.filter(ImageFilter.GaussianBlur(random.uniform(0.1, 2.0)))
        return image


class PILSolarize:
    """Solarise of PIL with probability ``prob``."""

    def __init__(self, prob):
        self.prob = prob

    def __call__(self, image):
        return ImageOps.solarize(image) if random.random() < self.prob else image


def pil_view(size, blur_prob, solarize_prob, saturation=0.4):
    """One view with torchvision on PIL, as the SiT and DINO releases compose it."""
    jitter = transforms.ColorJitter(0.4, 0.4, saturation, 0.1)
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(
                size, scale=(0.2, 1.0), interpolation=transforms.InterpolationMode.BICUBIC
            ),
            transforms.RandomHorizontalFlip(0.5),
            transforms.RandomApply([jitter], p=0.8),
            transforms.RandomGrayscale(0.2),
            PILBlur(blur_prob),
            PILSolarize(solarize_prob),
            transforms.ToTensor(),
            transforms.Normalize(
                [value / 255 for value in MEAN_RGB], [value / 255 for value in STD_RGB]
            ),
        ]
    )


def draw_mask(size, align, max_block=0.3):
    """GMML mask (size, size) of one view, one block of a torch tensor at a time."""
    coverage = random.choice((0.75, 0.30))  # noise, alien
    target = random.uniform(min(0.5, coverage), coverage) * size * size
    mask = torch.zeros(size, size)

    def side():
        start = np.random.randint(0, size - align) // align * align
        length = min(np.random.randint(align, int(max_block * size)), size - start)
        return slice(start, start + round(length / align) * align)

    while mask.sum() < target:
        mask[side(), side()] = 1
    return mask


def pil_pipeline(size, align):
    """The pipeline of the research releases, as a function of a path."""
    views = [pil_view(size, 1.0, 0.0), pil_view(size, 0.1, 0.2)]

    def run(path):
        with open(path, 'rb') as file:
            image = Image.open(file).convert('RGB')
        return [(view(image), draw_mask(size, align)) for view in views]

    return run


def dino_pipeline(size):
    """The global views of the DINO release, as a function of a path; boxes are as large as ours."""
    views = [pil_view(size, 1.0, 0.0, 0.2), pil_view(size, 0.1, 0.2, 0.2)]

    def run(path):
        with open(path, 'rb') as file:
            image = Image.open(file).convert('RGB')
        return [view(image) for view in views]

    return run


def passes(pipeline, paths, rounds):
    """So many passes over the files."""
    for _ in range(rounds):
        for path in paths:
            pipeline(path)


def main():
    args = parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(0)

    if args.megapixels:
        for megapixels in args.megapixels:
            compare_large(megapixels, args.repeats)
        return
    plugin = plugin_pipeline(args.size, args.align)
    pipelines = {
        'mmc_plugin': plugin,
        '+ normalise': normalised(plugin),
        'colours left to the device': plugin_pipeline(args.size, args.align, device=True),
        'without masks': plugin_pipeline(args.size),
        BASELINE: pil_pipeline(args.size, args.align),
        DINO: dino_pipeline(args.size),
    }
    with tempfile.TemporaryDirectory() as folder:
        paths = sorted(map(str, args.images.rglob('*.jp*g'))) if args.images else []
        paths = paths or write_jpegs(Path(folder))
        runs = [partial(passes, pipeline, paths, args.rounds) for pipeline in pipelines.values()]
        turns = in_turns(runs, args.repeats, warmup=1, device='cpu').T / (args.rounds * len(paths))
    times = dict(zip(pipelines, turns, strict=True))

    print(
        f'{platform.machine()}, torch {torch.__version__}, OpenCV {cv2.__version__}, one thread, '
        f'{len(paths)} JPEGs to 2 views of '
        f'{args.size}x{args.size} and masks, {args.repeats} turns of {args.rounds * len(paths)} '
        'images\n'
    )
    print(f'| pipeline | ms per image | images/s per core | ratio to {BASELINE} | to {DINO} |')
    print('|---|---|---|---|---|')
    for name, seconds in times.items():
        median = np.median(seconds)
        ratios = ' | '.join(str(ratio(times[base], seconds)) for base in (BASELINE, DINO))
        print(f'| {name} | {median * 1e3:.2f} | {1 / median:.0f} | {ratios} |')


if __name__ == '__main__':
    main()
