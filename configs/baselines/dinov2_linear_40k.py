# The protocol of Table 3 with DINOv2. MMC_LINEAR names a config of configs/segmentation without its
# _linear_40k.py: size and data. Crops of 512² are padded to 518², a multiple of 14, and so are the
# windows of the test, at two thirds of that.
#   MMC_LINEAR=vitb_ade20k MMC_CHECKPOINT=dinov2_vitb14_pretrain.pth \
#       bash tools/dist_train.sh configs/baselines/dinov2_linear_40k.py 4
_base_ = ['../segmentation/{{$MMC_LINEAR:vits_ade20k}}_linear_40k.py']
work_dir = 'work_dirs/dinov2_{{$MMC_LINEAR:vits_ade20k}}_linear_40k'
model = dict(
    data_preprocessor=dict(size=(518, 518), test_cfg=dict(size=(518, 518))),
    backbone=dict(img_size=518, patch_size=14, layer_scale_init_value=1e-5),
    test_cfg=dict(crop_size=(518, 518), stride=(345, 345)),
)
