# vit_coco_similarity.py under the name of a size.
_base_ = 'vit_coco_similarity.py'
