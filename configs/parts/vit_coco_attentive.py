# The same by attentive probing: one learned query over all tokens; lr .01 for each 256 patches [release].
#   COCO_KEYPOINTS_ROOT=/path/to/coco MMC_CHECKPOINT=… python tools/train.py configs/parts/vit_coco_attentive.py
_base_ = ['./vit_coco_linear.py']
model = dict(
    head=dict(
        _delete_=True,
        type='AttentiveClsHead',
        num_classes=3,
        num_heads=12,
        test_statistics='running',  # 'batch' in the release: a test then depends on its batches
        loss=dict(type='CrossEntropyLoss'),
    )
)
optim_wrapper = dict(optimizer=dict(lr=0.04))
