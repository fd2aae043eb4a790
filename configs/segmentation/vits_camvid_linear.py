# Frozen ViT-S/16, linear head, CamVid: one process, with or without a GPU.
#   CAMVID_ROOT=… MMC_CHECKPOINT=… python tools/train.py configs/segmentation/vits_camvid_linear.py
_base_ = ['./_base_/camvid.py']
model = dict(
    # Whole images, padded to whole patches.
    data_preprocessor=dict(
        size=None, size_divisor=16, test_cfg=dict(_delete_=True, size_divisor=16)
    ),
    backbone=dict(img_size=(368, 480)),
    decode_head=dict(norm_cfg=dict(type='BN')),
    test_cfg=dict(_delete_=True, mode='whole'),
)
