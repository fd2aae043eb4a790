# "paper" is arXiv 2308.11448. The config that inherits this sets
# train_cfg.max_epochs.
optim_wrapper = dict(
    type='AutoPrecisionOptimWrapper',
    precision='auto',  # what the device is fast at; 'bf16', 'fp16' and 'fp32' force one
    constructor='MergedGroupsOptimWrapperConstructor',
    optimizer=dict(
        type='AdamW',  # paper §4
        lr=5e-4,  # at a total batch of 256; SiT release
        betas=(0.9, 0.999),
        weight_decay=0.04,  # paper §4
        fused=True,
    ),
    # No decay on biases and other 1-D tensors; class token and positions are decayed [SiT release].
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0),
    # By the global norm; the SiT and iBOT releases clip each tensor by itself.
    clip_grad=dict(max_norm=3.0),
)
# lr = 5e-4 * total batch / 256 [SiT release]: always on, so that any number of GPUs is right.
auto_scale_lr = dict(base_batch_size=256, enable=True)

train_cfg = dict(by_epoch=True)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-3,
        by_epoch=True,
        begin=0,
        end=10,  # SiT release
        convert_to_iter_based=True,
    ),
    # Ends with the last epoch, whatever max_epochs a config or the command line sets.
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-6,  # SiT release
        by_epoch=True,
        begin=10,
        convert_to_iter_based=True,
    ),
]
