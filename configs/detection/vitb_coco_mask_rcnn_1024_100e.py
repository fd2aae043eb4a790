# Mask R-CNN with ViT-B/16 on COCO at 1024² (ViTDet, arXiv 2203.16527, appendix): 100 epochs of 64
# images a step, rate divided by 10 after 8/9 and 26/27 of them (163889 and 177546 of 184375 steps in
# its code), two convolutions in the RPN, norms in the heads. ViTDet has 51.6 box and 45.7 mask AP with
# MAE's weights, and relative positions, which pretrained ViTs lack.
#   COCO_ROOT=… MMC_CHECKPOINT=… bash tools/dist_train.sh configs/detection/vitb_coco_mask_rcnn_1024_100e.py 8
_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    './_base_/vit.py',
    './_base_/coco_1024.py',
    './_base_/schedule_1x.py',
    './_base_/runtime.py',
]
norm = dict(type='mmpretrain.LN2d')
model = dict(
    **_base_.vitb16_1024,
    rpn_head=dict(num_convs=2),
    roi_head=dict(
        bbox_head=dict(type='Shared4Conv1FCBBoxHead', conv_out_channels=256, norm_cfg=norm),
        mask_head=dict(norm_cfg=norm),
    ),
)
train_dataloader = dict(batch_size=8)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=250),
    dict(type='MultiStepLR', by_epoch=True, milestones=[89, 96], gamma=0.1, begin=0, end=100),
]
train_cfg = dict(max_epochs=100, val_interval=5)
