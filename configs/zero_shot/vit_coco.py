# Table 1: zero-shot segmentation of COCO by one click, with a ViT of any size.
#   COCO_ROOT=/path/to/coco tools/test.sh configs/zero_shot/vit_coco.py CHECKPOINT [GPUS]
# CHECKPOINT is any that load_backbone reads: of a run of this package, of DINO, timm, …
_base_ = ['../_base_/zero_shot.py', '../_base_/datasets/coco_prompts.py']
