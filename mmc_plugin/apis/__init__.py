"""What a notebook calls."""

from ..evaluation.found_objects import FoundObject
from .discovery import discover_objects
from .embeddings import embed_folder, read_embeddings
from .features import extract_features, frozen_features
from .label_transfer import transfer_labels
from .load_backbone import load_backbone
from .matches import Match, find_in_bank, find_in_images, match_images
from .part_patches import PartPatch, nearest_part_patches
from .patch_bank import PatchBank
from .patch_views import patch_clusters, patch_colours
from .pretrain import pretrain
from .prompt_segmenter import PromptSegmenter, Segment
from .reconstruction import Reconstruction, load_student, reconstruct
from .reference import find_reference, reference_maps
from .video import read_video, track_objects

__all__ = [
    'FoundObject',
    'Match',
    'PartPatch',
    'PatchBank',
    'PromptSegmenter',
    'Reconstruction',
    'Segment',
    'discover_objects',
    'embed_folder',
    'extract_features',
    'find_in_bank',
    'find_in_images',
    'find_reference',
    'frozen_features',
    'load_backbone',
    'load_student',
    'match_images',
    'nearest_part_patches',
    'patch_clusters',
    'patch_colours',
    'pretrain',
    'read_embeddings',
    'read_video',
    'reconstruct',
    'reference_maps',
    'track_objects',
    'transfer_labels',
]
