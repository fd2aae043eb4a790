# vitt_camvid_linear.py without augmentation: the frozen backbone runs once for each image, and its
# features stay in MMC_FEATURE_CACHE. What that does to time and mIoU: docs/segmentation.md.
_base_ = ['./vitt_camvid_linear.py']
model = _base_.cached
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.test_pipeline)))
