"""Vision transformers for other frameworks, and checkpoints to be given away."""

from .export import FORMATS, check_destination, export_backbone
from .publish import publish

__all__ = ['FORMATS', 'check_destination', 'export_backbone', 'publish']
