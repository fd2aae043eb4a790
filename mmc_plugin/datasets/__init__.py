from . import transforms
from .coco_prompts import CocoPrompts
from .davis import DavisVideos, VideoClip
from .fixed_length_sampler import FixedLengthSampler
from .image_tree import ImageTree
from .palette_prompts import DavisFramePrompts, VocPrompts
from .seeding import SampleKey, SeededSampler

__all__ = [
    'CocoPrompts',
    'DavisFramePrompts',
    'DavisVideos',
    'FixedLengthSampler',
    'ImageTree',
    'SampleKey',
    'SeededSampler',
    'VideoClip',
    'VocPrompts',
    'transforms',
]
