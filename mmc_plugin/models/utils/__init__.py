from .colours import apply_colours
from .corruption import corrupt, fillings, patch_mask, touched_patches
from .distributed import gather_with_grad, global_mean
from .momentum_teacher import MomentumTeacher
from .patches import patchify, unpatchify
from .pretrained_head import PretrainedHead
from .view_preprocessor import ViewDataPreprocessor

__all__ = [
    'MomentumTeacher',
    'PretrainedHead',
    'ViewDataPreprocessor',
    'apply_colours',
    'corrupt',
    'fillings',
    'gather_with_grad',
    'global_mean',
    'patch_mask',
    'touched_patches',
    'patchify',
    'unpatchify',
]
