# Dense retrieval on Pascal VOC 2012: its training images are the labelled ones, its validation images are segmented.
#   VOC12_ROOT=/path/to/VOCdevkit/VOC2012 tools/test.sh configs/dense_retrieval/vit_voc12.py CHECKPOINT [GPUS]
_base_ = ['../segmentation/_base_/voc12aug.py', '../_base_/dense_retrieval.py']
memory = _base_.train
memory.dataset.pipeline = _base_.whole_pipeline
model = dict(_delete_=True, **_base_.nearest_patches, memory=memory)
test_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.whole_pipeline)))
