# Zero-shot segmentation of frames of DAVIS-2017 by one click.
#   DAVIS_ROOT=/path/to/davis2017 tools/test.sh configs/zero_shot/vit_davis_frames.py CHECKPOINT [GPUS]
_base_ = ['../_base_/zero_shot.py', '../_base_/datasets/davis_prompts.py']
