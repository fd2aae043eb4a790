# Crops of 512², tested by windows of as much.
_base_ = ['./vitb16_160k.py', '../../segmentation/_base_/crops_512.py']
train_dataloader = dict(
    dataset=dict(type='CheckedSegDataset', dataset=dict(pipeline=_base_.train_pipeline))
)
val_dataloader = dict(
    dataset=dict(type='CheckedSegDataset', dataset=dict(pipeline=_base_.test_pipeline))
)
test_dataloader = val_dataloader
