# What every detection run shares. mmdet is the scope; parts of the plugin that are no detection come
# from mmpretrain's registries.
custom_imports = dict(imports=['mmc_plugin.detection'], allow_failed_imports=False)
default_scope = 'mmdet'

default_hooks = dict(
    runtime_info=dict(type='RuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='mmpretrain.SafeCheckpointHook', interval=1, max_keep_ckpts=2),
    visualization=dict(type='DetVisualizationHook'),  # --show-dir of test.py turns it on
    check=dict(type='DetectorCheckHook'),
    loss_guard=dict(type='mmpretrain.LossGuardHook'),
    throughput=dict(type='mmpretrain.ThroughputHook'),
    report=dict(type='DetectionReportHook'),
)

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
visualizer = dict(type='DetLocalVisualizer', vis_backends=vis_backends)
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=0)
