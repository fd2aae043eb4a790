# What frozen features tell a detector: Mask R-CNN on a ViT-S/16 of which nothing is trained.
_base_ = ['./vits_coco_mask_rcnn_640_1x.py']
model = dict(backbone=dict(frozen=True, drop_path_rate=0.0))
optim_wrapper = _base_.frozen
