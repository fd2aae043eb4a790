# Cascade Mask R-CNN on the layers that iBOT takes (arXiv 2111.07832): 3, 5, 7 and 11, from 0, give maps of
# strides 4, 8, 16 and 32; AdamW 1e-4, weight decay .05, layer decay .75 and drop path .1 are those of
# its released vit_small_giou_4conv1f_coco_3x.py. The paper has 51.2 box and 44.2 mask AP for ViT-B/16.
# Heads and batch are mmdet's, images have 640 pixels as in the other configs here; the release has
# GIoU losses, 4 convolutions a head, and images of up to 1333×800.
_base_ = [
    'mmdet::_base_/models/cascade-mask-rcnn_r50_fpn.py',
    './_base_/vit.py',
    './_base_/coco_640.py',
    './_base_/schedule_1x.py',
    './_base_/runtime.py',
]
model = dict(
    backbone=dict(_base_.vits16['backbone'], out_indices=(3, 5, 7, 11)),
    neck=dict(_base_.vits16['neck'], in_channels=[384] * 4),
)
optim_wrapper = dict(optimizer=dict(weight_decay=0.05), paramwise_cfg=dict(layer_decay_rate=0.75))
auto_scale_lr = dict(base_batch_size=16)
