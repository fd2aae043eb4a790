from . import transforms
from .cifar import CifarImages
from .coco_prompts import CocoPrompts
from .fixed_length_sampler import FixedLengthSampler
from .image_sets import ClassFolders, ImageSets
from .image_tree import ImageTree
from .palette_prompts import DavisFramePrompts, VocPrompts
from .seeding import SampleKey, SeededSampler

__all__ = [
    'CifarImages',
    'ClassFolders',
    'CocoPrompts',
    'DavisFramePrompts',
    'FixedLengthSampler',
    'ImageSets',
    'ImageTree',
    'SampleKey',
    'SeededSampler',
    'VocPrompts',
    'transforms',
]
