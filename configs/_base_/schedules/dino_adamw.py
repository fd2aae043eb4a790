# What the SiT, DINO, iBOT and MC-SSL releases share; lr, warm-up and end are those of MMC's.
# Weight decay from .04 to .4; the config that inherits this sets train_cfg.max_epochs.
_base_ = ['./mmc_adamw.py']
optim_wrapper = dict(
    # Each tensor's gradient by its own norm.
    clip_grad=dict(type='tensor', max_norm=3.0),
)
param_scheduler = [
    *_base_.param_scheduler,
    dict(type='CosineWeightDecay', eta_min=0.4, by_epoch=True, convert_to_iter_based=True),
]
