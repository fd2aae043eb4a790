# Frozen ViT-S/16, layers 5, 7, 9, 11 counted from 0, norm and 1×1 convolution, cross-entropy; test
# by windows of 512 at stride 341 (Table 3 of the paper).
#   MMC_CHECKPOINT=/path/to/checkpoint python tools/train.py CONFIG
# MMC_CHECKPOINT is an MMC run's checkpoint (the teacher is taken), an exported backbone or another
# ViT-S/16. Random weights only on request: --cfg-options model.backbone.checkpoint=None
# Testing needs no MMC_CHECKPOINT: the trained segmentor holds the backbone.
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        # ImageNet's, as in the pretraining.
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(512, 512),
        test_cfg=dict(size=(512, 512)),  # pads images that are smaller than one window
    ),
    backbone=dict(
        type='mmpretrain.PretrainedViT',
        arch='deit-small',
        img_size=512,  # positions are interpolated to its grid once, when the weights are loaded
        patch_size=16,
        out_type='featmap',
        out_indices=(5, 7, 9, 11),
        frozen=True,
        checkpoint='{{$MMC_CHECKPOINT:MMC_CHECKPOINT_is_not_set}}',
    ),
    decode_head=dict(
        type='LinearHead',
        in_channels=[384] * 4,
        num_classes=0,
        norm_cfg=dict(type='SyncBN'),  # training by several processes without GPUs: BN
        dropout_ratio=0.0,
        loss_decode=dict(type='CrossEntropyLoss'),
    ),
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341)),
)
# The vitb_*.py configs.
vitb16 = dict(backbone=dict(arch='deit-base'), decode_head=dict(in_channels=[768] * 4))
