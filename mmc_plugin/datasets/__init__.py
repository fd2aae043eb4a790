from . import transforms
from .fixed_length_sampler import FixedLengthSampler
from .image_tree import ImageTree
from .seeding import SampleKey, SeededSampler

__all__ = ['FixedLengthSampler', 'ImageTree', 'SampleKey', 'SeededSampler', 'transforms']
