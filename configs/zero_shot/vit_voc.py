# Zero-shot segmentation of Pascal VOC 2012 by one click.
#   VOC12_ROOT=/path/to/VOCdevkit/VOC2012 tools/test.sh configs/zero_shot/vit_voc.py CHECKPOINT [GPUS]
_base_ = ['../_base_/zero_shot.py', '../_base_/datasets/voc_prompts.py']
