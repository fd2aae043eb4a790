from . import transforms
from .image_tree import ImageTree
from .seeding import SampleKey, SeededSampler

__all__ = ['ImageTree', 'SampleKey', 'SeededSampler', 'transforms']
