# Table 1: zero-shot segmentation of COCO by one click.
#   COCO_ROOT=/path/to/coco tools/test.sh configs/zero_shot/vits_coco.py CHECKPOINT [GPUS]
# CHECKPOINT is any that load_backbone reads: of a run of this package, of DINO, timm, …
_base_ = [
    '../_base_/models/frozen_vit.py',
    '../_base_/datasets/coco_prompts.py',
    '../_base_/default_runtime.py',
]
custom_hooks = [dict(type='EvaluationReportHook')]
