# Zero-shot segmentation of frames of DAVIS-2017 by one click.
#   DAVIS_ROOT=/path/to/davis2017 tools/test.sh configs/zero_shot/vitb_davis_frames.py CHECKPOINT [GPUS]
_base_ = [
    '../_base_/models/frozen_vit.py',
    '../_base_/datasets/davis_prompts.py',
    '../_base_/default_runtime.py',
]
custom_hooks = [dict(type='EvaluationReportHook')]
test_dataloader = dict(batch_size=4)
