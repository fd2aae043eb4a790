# vit_coco.py under the name of a size.
_base_ = 'vit_coco.py'
