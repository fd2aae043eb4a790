from .activation_checkpointing import ActivationCheckpointingHook
from .class_check import ClassCheckHook
from .deferred_runtime_info import DeferredRuntimeInfoHook
from .evaluation_report import EvaluationReportHook
from .feature_monitor import FeatureMonitorHook
from .freeze import FreezeHook
from .loss_guard import LossGuardHook
from .loss_recovery import LossRecoveryHook
from .momentum_teacher_hook import MomentumTeacherHook
from .online_probe import OnlineProbeHook
from .progress import ProgressHook
from .reconstruction_panel import ReconstructionPanelHook
from .replan_schedule import ReplanSchedulerHook
from .safe_checkpoint import SafeCheckpointHook
from .seed_iteration import SeedEachIteration
from .similarity_panel import SimilarityPanelHook
from .skipped_images import SkippedImagesHook
from .stop import StopHook
from .throughput import ThroughputHook
from .video_results import VideoResultsHook

__all__ = [
    'ActivationCheckpointingHook',
    'ClassCheckHook',
    'DeferredRuntimeInfoHook',
    'EvaluationReportHook',
    'FeatureMonitorHook',
    'FreezeHook',
    'LossGuardHook',
    'LossRecoveryHook',
    'MomentumTeacherHook',
    'OnlineProbeHook',
    'ProgressHook',
    'ReconstructionPanelHook',
    'ReplanSchedulerHook',
    'SafeCheckpointHook',
    'SeedEachIteration',
    'SimilarityPanelHook',
    'SkippedImagesHook',
    'StopHook',
    'ThroughputHook',
    'VideoResultsHook',
]
