# What every run of the plugin shares.
custom_imports = dict(imports=['mmc_plugin'], allow_failed_imports=False)
default_scope = 'mmpretrain'

default_hooks = dict(
    runtime_info=dict(type='DeferredRuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ReplanSchedulerHook'),
    # keep_whole: the newest keep their optimiser state, for --resume; older ones are weights only.
    checkpoint=dict(type='SafeCheckpointHook', interval=1, max_keep_ckpts=3, keep_whole=2),
)

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)

# Weights & Biases by one line: add dict(type='WandbVisBackend') to vis_backends.
vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
visualizer = dict(type='UniversalVisualizer', vis_backends=vis_backends)

log_level = 'INFO'
load_from = None
resume = False

# Order, augmentations, masks, noise and drop-path follow from the seed, so that a resumed run
# repeats what the killed one would have done.
randomness = dict(seed=0, diff_rank_seed=False, deterministic=False)
