"""What a notebook calls."""

from .features import extract_features, frozen_features
from .load_backbone import load_backbone
from .prompt_segmenter import PromptSegmenter, Segment
from .reference import find_reference, reference_maps
from .video import read_video, track_objects

__all__ = [
    'PromptSegmenter',
    'Segment',
    'extract_features',
    'find_reference',
    'frozen_features',
    'load_backbone',
    'read_video',
    'reference_maps',
    'track_objects',
]
