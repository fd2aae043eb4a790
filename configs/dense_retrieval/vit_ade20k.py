# Dense retrieval on ADE20K: its training images are the labelled ones, its validation images are segmented.
#   ADE20K_ROOT=/path/to/ADEChallengeData2016 tools/test.sh configs/dense_retrieval/vit_ade20k.py CHECKPOINT [GPUS]
_base_ = ['../segmentation/_base_/ade20k.py', '../_base_/dense_retrieval.py']
memory = _base_.train_dataloader.dataset
memory.dataset.pipeline = _base_.whole_pipeline
model = dict(_delete_=True, **_base_.nearest_patches, memory=memory)
test_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.whole_pipeline)))
