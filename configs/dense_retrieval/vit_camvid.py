# Dense retrieval on CamVid: its training images are the labelled ones, its validation images are segmented.
#   CAMVID_ROOT=/path/to/camvid tools/test.sh configs/dense_retrieval/vit_camvid.py CHECKPOINT [GPUS]
_base_ = ['../segmentation/_base_/camvid.py', '../_base_/dense_retrieval.py']
memory = _base_.train_dataloader.dataset
memory.dataset.pipeline = _base_.whole_pipeline
model = dict(_delete_=True, **_base_.nearest_patches, memory=memory)
test_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.whole_pipeline)))
