# What every pretraining shares. A config changes a hook by its key here.
_base_ = ['./default_runtime.py']

default_hooks = dict(
    seed=dict(type='SeedEachIteration'),
    teacher=dict(type='MomentumTeacherHook'),  # momentum and end_momentum are keys of the model
    loss_guard=dict(type='LossGuardHook'),
    throughput=dict(type='ThroughputHook'),
    progress=dict(type='ProgressHook'),  # on the screen, between the log's lines
    skipped_images=dict(type='SkippedImagesHook'),
    reconstruction=dict(type='ReconstructionPanelHook', interval=20),
)
