# Objects without a click on Pascal VOC 2012, the images with masks: CorLoc and IoU.
#   VOC12_ROOT=/path/to/VOCdevkit/VOC2012 tools/test.sh configs/discovery/vit_voc.py CHECKPOINT [GPUS]
_base_ = ['../_base_/discovery.py', '../_base_/datasets/voc_prompts.py']
test_dataloader = dict(dataset=dict(by='instance', pipeline=_base_.discovery_pipeline))
test_evaluator = _base_.discovery
