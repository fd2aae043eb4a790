# ADE20K, all 150 classes, by the recipe of arXiv 2301.11915.
#   ADE20K_ROOT=… MMC_CHECKPOINT=… bash tools/dist_train.sh configs/part_segmentation/vitb_ade20k.py 8
_base_ = ['./vitb_ade20k_object.py']
model = dict(decode_head=dict(num_classes=150))
train_dataloader = dict(dataset=dict(dataset=dict(metainfo=None)))
val_dataloader = dict(dataset=dict(dataset=dict(metainfo=None)))
test_dataloader = val_dataloader
