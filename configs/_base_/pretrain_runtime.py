# What every pretraining shares. A config changes a hook by its key here.
_base_ = ['./default_runtime.py']

default_hooks = dict(
    seed=dict(type='SeedEachIteration'),
    teacher=dict(type='MomentumTeacherHook'),  # momentum and end_momentum are keys of the model
    loss_guard=dict(type='LossGuardHook'),
    stop=dict(type='StopHook'),  # SIGTERM, SIGUSR1 or a file STOP: save, then stop
    throughput=dict(type='ThroughputHook'),
    progress=dict(type='ProgressHook'),  # on the screen, between the log's lines
    skipped_images=dict(type='SkippedImagesHook'),
    reconstruction=dict(type='ReconstructionPanelHook', interval=20),
)
