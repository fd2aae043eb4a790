# Objects without a click on COCO val2017: CorLoc and IoU.
#   COCO_ROOT=/path/to/coco tools/test.sh configs/discovery/vit_coco.py CHECKPOINT [GPUS]
_base_ = ['../_base_/discovery.py', '../_base_/datasets/coco_prompts.py']
test_dataloader = dict(dataset=dict(by='instance', pipeline=_base_.discovery_pipeline))
test_evaluator = _base_.discovery
