# ViT-H/14, otherwise as vitl_fsdp.py.
#   tools/dist_train.sh configs/mmc/vith_fsdp.py 8
_base_ = ['./vitl_fsdp.py']
patch, width = 14, 1280
model = dict(
    backbone=dict(arch='huge', patch_size=patch),  # D 1280, 32 layers, 16 heads
    rec_head=dict(in_channels=width, patch_size=patch),
    patch_head=dict(in_channels=width),
    cls_head=dict(in_channels=width),
)
load, views, mask, pack = _base_.train_pipeline
train_dataloader = dict(
    dataset=dict(pipeline=[load, views, dict(mask, align=patch), pack]),
)
