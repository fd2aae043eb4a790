# Backbone and pyramid for any detector of mmdetection whose heads have strides 4, 8, 16, 32 (and 64).
#   MMC_CHECKPOINT=/path/to/checkpoint python tools/train.py CONFIG
# MMC_CHECKPOINT is an MMC run's checkpoint (the teacher is taken), an exported backbone or another ViT
# with patches of 16 pixels. Random weights only on request:
# --cfg-options model.backbone.checkpoint=None. Testing needs no MMC_CHECKPOINT: the detector's own
# checkpoint holds the backbone.
vits16 = dict(
    backbone=dict(
        _delete_=True,
        type='DetectionViT',
        arch='deit-small',
        img_size=640,  # positions are interpolated to its grid once, when the weights are loaded
        patch_size=16,
        drop_path_rate=0.1,  # ViTDet (arXiv 2203.16527, appendix) with ViT-B
        frozen=False,
        checkpoint='{{$MMC_CHECKPOINT:MMC_CHECKPOINT_is_not_set}}',
    ),
    neck=dict(_delete_=True, type='SimpleFPN', in_channels=384),
)
# 1024²: attention in windows of 14 patches but for the last layer of each quarter (ViTDet, §3).
vitb16_1024 = dict(
    backbone=dict(
        vits16['backbone'], arch='base', img_size=1024, window_size=14, global_layers=(2, 5, 8, 11)
    ),
    neck=dict(vits16['neck'], in_channels=768),
)
