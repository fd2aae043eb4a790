from . import transforms
from .coco_prompts import CocoPrompts
from .fixed_length_sampler import FixedLengthSampler
from .image_tree import ImageTree
from .palette_prompts import DavisFramePrompts, VocPrompts
from .seeding import SampleKey, SeededSampler

__all__ = [
    'CocoPrompts',
    'DavisFramePrompts',
    'FixedLengthSampler',
    'ImageTree',
    'SampleKey',
    'SeededSampler',
    'VocPrompts',
    'transforms',
]
