# 12 epochs with the optimiser of ViTDet (arXiv 2203.16527, appendix): AdamW 1e-4, weight decay .1,
# layer decay .7 for ViT-B, for 64 images a step; --auto-scale-lr for other numbers. No weight decay
# on vectors and positions, as in its code.
_base_ = ['mmdet::_base_/schedules/schedule_1x.py']
optim_wrapper = dict(
    _delete_=True,
    type='mmpretrain.AutoPrecisionOptimWrapper',
    precision='fp32',  # fp16 on a GPU; not bf16, which mmcv's RoIAlign lacks
    constructor='mmpretrain.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(
        layer_decay_rate=0.7,
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        flat_decay_mult=0.0,
        custom_keys={
            'backbone.cls_token': dict(decay_mult=0.0),
            'backbone.pos_embed': dict(decay_mult=0.0),
            'backbone.registers': dict(decay_mult=0.0),
        },
    ),
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.1),
)
auto_scale_lr = dict(enable=False, base_batch_size=64)
# For a frozen backbone, which the optimiser leaves out.
frozen = dict(
    constructor='mmpretrain.MergedGroupsOptimWrapperConstructor',
    paramwise_cfg=dict(
        _delete_=True, norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0
    ),
)
