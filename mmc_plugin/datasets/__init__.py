from . import transforms
from .cifar import CifarImages
from .coco_prompts import CocoPrompts
from .davis import DavisVideos, VideoClip
from .fixed_length_sampler import FixedLengthSampler
from .image_sets import ClassFolders, ImageSets, UnlabelledFolder
from .image_tree import ImageTree
from .labelled_images import LabelledImages
from .palette_prompts import DavisFramePrompts, VocPrompts
from .part_patches import CocoParts, CubParts
from .revisited import RevisitedLandmarks
from .seeding import SampleKey, SeededSampler
from .shards import BlockShuffledSampler, ShardedImages
from .split_file import SplitFile

__all__ = [
    'BlockShuffledSampler',
    'CifarImages',
    'ClassFolders',
    'CocoParts',
    'CocoPrompts',
    'CubParts',
    'DavisFramePrompts',
    'DavisVideos',
    'FixedLengthSampler',
    'ImageSets',
    'ImageTree',
    'LabelledImages',
    'RevisitedLandmarks',
    'SampleKey',
    'SeededSampler',
    'ShardedImages',
    'SplitFile',
    'UnlabelledFolder',
    'VideoClip',
    'VocPrompts',
    'transforms',
]
