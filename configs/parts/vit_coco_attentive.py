# The same by attentive probing: one learned query over all tokens; lr .01 for each 256 patches [release].
#   COCO_KEYPOINTS_ROOT=/path/to/coco MMC_CHECKPOINT=… python tools/train.py configs/parts/vit_coco_attentive.py
_base_ = ['./vit_coco_linear.py']
model = dict(head=dict(_base_.attentive_head, _delete_=True, num_classes=3))
optim_wrapper = dict(optimizer=dict(lr=0.04))
