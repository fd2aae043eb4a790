# Faster R-CNN with a trained ViT-S/16 on PASCAL VOC 2007 and 2012 (trainval), tested on VOC 2007: one
# GPU, 8 images a step. VOC_ROOT holds VOC2007/ and VOC2012/. 4 epochs of the images three times over
# at 1000×600, as mmdet's faster-rcnn_r50_fpn_1x_voc0712.py.
#   VOC_ROOT=… MMC_CHECKPOINT=… python tools/train.py configs/detection/vits_voc0712_faster_rcnn.py
_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50_fpn.py',
    'mmdet::_base_/datasets/voc0712.py',
    './_base_/vit.py',
    './_base_/schedule_1x.py',
    './_base_/runtime.py',
]
data_root = '{{$VOC_ROOT:data/VOCdevkit}}/'
model = dict(**_base_.vits16, roi_head=dict(bbox_head=dict(num_classes=20)))
train = [
    dict(each, data_root=data_root) for each in _base_.train_dataloader.dataset.dataset.datasets
]
train_dataloader = dict(batch_size=8, dataset=dict(dataset=dict(datasets=train)))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', by_epoch=True, milestones=[3], gamma=0.1, begin=0, end=4),
]
train_cfg = dict(max_epochs=4)
auto_scale_lr = dict(base_batch_size=8)
