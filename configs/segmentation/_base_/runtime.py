# What every segmentation run shares. mmseg is the scope; parts of the plugin that are no
# segmentation come from mmpretrain's registries.
custom_imports = dict(imports=['mmc_plugin.segmentation'], allow_failed_imports=False)
default_scope = 'mmseg'

val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
val_evaluator = dict(type='ClassIoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator

default_hooks = dict(
    runtime_info=dict(type='RuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='mmpretrain.ReplanSchedulerHook'),
    checkpoint=dict(
        type='mmpretrain.SafeCheckpointHook', by_epoch=False, interval=4000, max_keep_ckpts=2
    ),
    visualization=dict(type='SegmentationPanelHook'),  # --show-dir of test.py turns it on
    loss_guard=dict(type='mmpretrain.LossGuardHook'),
    throughput=dict(type='mmpretrain.ThroughputHook'),
    report=dict(type='SegmentationReportHook'),
)

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
visualizer = dict(type='SegLocalVisualizer', vis_backends=vis_backends)
log_processor = dict(by_epoch=False)
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=0)
