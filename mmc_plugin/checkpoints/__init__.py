"""Checkpoints of this package and of others."""

from .backbone import BackboneWeights, read_backbone
from .checkpoint import Checkpoint
from .files import file_hash, read_checkpoint

__all__ = ['BackboneWeights', 'Checkpoint', 'file_hash', 'read_backbone', 'read_checkpoint']
