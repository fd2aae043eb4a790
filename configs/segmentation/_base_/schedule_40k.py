# Table 3 of the paper: AdamW 1e-4, (.9, .999), weight decay .05, 1500 warm-up iterations, poly
# power 1, 40k iterations of 4 GPUs × 4 images.
optim_wrapper = dict(
    type='mmpretrain.AutoPrecisionOptimWrapper',
    precision='auto',  # of the training; tests are in fp32
    # Leaves the frozen backbone out of the optimiser, which mmengine's own does not.
    constructor='mmpretrain.MergedGroupsOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
)
param_scheduler = [
    # Where the warm-up starts: mmseg's configs for ViTs; the paper is silent.
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    # To the end of the run, whatever max_iters is.
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=1500),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=40000, val_interval=4000)
auto_scale_lr = dict(enable=False, base_batch_size=16)  # --auto-scale-lr, for other numbers
train_dataloader = dict(
    batch_size=4, num_workers=4, sampler=dict(type='InfiniteSampler', shuffle=True)
)
val_dataloader = dict(
    batch_size=1, num_workers=4, sampler=dict(type='DefaultSampler', shuffle=False)
)
test_dataloader = val_dataloader
