# The whole ViT and a linear head trained on labelled images (arXiv 2308.11448, Table 7 and Fig. 4, 7):
# AdamW 5e-4, weight decay .05, layer decay .65, batch 64, 5 epochs of warm-up, cosine, 200 epochs, ThreeAugment.
# Where the paper is silent: no weight decay on vectors and positions and the warm-up from 1e-6 (BEiT, DeiT),
# cosine down to 0, crops of 8 to 100 % of the image, plain cross-entropy without mixup or smoothing.
#   MMC_CHECKPOINT=/path/to/checkpoint python tools/train.py CONFIG
# MMC_CHECKPOINT is any that load_backbone reads; the architecture is the checkpoint's.
_base_ = ['./default_runtime.py']
model = dict(
    type='ViTClassifier',
    data_preprocessor=dict(
        num_classes=None,
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
    ),
    backbone=dict(
        type='PretrainedViT',
        arch='auto',
        checkpoint='{{$MMC_CHECKPOINT:MMC_CHECKPOINT_is_not_set}}',
        img_size=224,  # positions are interpolated to its grid when the weights are loaded
        out_type='raw',
        frozen=False,
    ),
    head=dict(
        type='TokenClsHead',
        kind='cls',  # or 'pat', the mean patch token, or 'hybrid', both
        num_classes=0,
        loss=dict(type='CrossEntropyLoss'),
    ),
)

train_pipeline = [
    dict(type='ViewCrop', size=224, scale=(0.08, 1.0)),
    dict(type='ViewFlip'),
    dict(type='ThreeAugment'),
    dict(type='ViewColorJitter', brightness=0.3, contrast=0.3, saturation=0.3, hue=0.0, prob=1.0),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='ResizeEdge', scale=256, edge='short', backend='pillow', interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    batch_size=64,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='LabelledImages', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='LabelledImages', pipeline=test_pipeline, test_mode=True),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type='ClassificationAccuracy', topk=(1,))]
test_evaluator = val_evaluator

optim_wrapper = dict(
    type='AutoPrecisionOptimWrapper',
    precision='auto',
    constructor='LayerDecayOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=5e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(
        layer_decay_rate=0.65,
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        flat_decay_mult=0.0,
        custom_keys={
            'backbone.cls_token': dict(decay_mult=0.0),
            'backbone.pos_embed': dict(decay_mult=0.0),
            'backbone.registers': dict(decay_mult=0.0),
        },
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=2e-3, end=5, convert_to_iter_based=True),
    # Ends with the last epoch, whatever max_epochs a config or the command line sets.
    dict(type='CosineAnnealingLR', eta_min=0.0, begin=5, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=200, val_interval=10)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(enable=False, base_batch_size=64)  # --auto-scale-lr, for other batches

default_hooks = dict(
    classes=dict(type='ClassCheckHook'),
    loss_guard=dict(type='LossGuardHook'),
    throughput=dict(type='ThroughputHook'),
    report=dict(type='EvaluationReportHook'),
    checkpoint=dict(interval=10, save_best='auto'),
)
