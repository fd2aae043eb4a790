from .feature_monitor import FeatureMonitorHook
from .loss_guard import LossGuardHook
from .momentum_teacher_hook import MomentumTeacherHook
from .safe_checkpoint import SafeCheckpointHook
from .seed_iteration import SeedEachIteration
from .skipped_images import SkippedImagesHook
from .throughput import ThroughputHook

__all__ = [
    'FeatureMonitorHook',
    'LossGuardHook',
    'MomentumTeacherHook',
    'SafeCheckpointHook',
    'SeedEachIteration',
    'SkippedImagesHook',
    'ThroughputHook',
]
