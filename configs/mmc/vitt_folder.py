# A small ViT on any folder of images, for machines without a GPU: 64² pixels in patches of 8,
# 4 layers, D 192. Sizes are ours.
#   python tools/train.py configs/mmc/vitt_folder.py \
#       --cfg-options train_dataloader.dataset.data_root=/path/to/images
_base_ = [
    '../_base_/models/mmc_vitt.py',
    '../_base_/datasets/views_224.py',
    '../_base_/schedules/mmc_adamw.py',
    '../_base_/pretrain_runtime.py',
]
size, patch = 64, 8
model = dict(
    backbone=dict(img_size=size, patch_size=patch, arch=dict(num_layers=4)),
    rec_head=dict(patch_size=patch),
    momentum=0.99,  # a run of some thousand iterations is too short for the paper's .996
)

crop = dict(type='ViewCrop', size=size, scale=(0.2, 1.0))
view1 = [crop, *_base_.colour]
view2 = [crop, *_base_.colour, dict(type='ViewSolarize', prob=0.2)]
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='MultiView', num_views=[1, 1], transforms=[view1, view2]),
    dict(_base_.mask, align=patch),
    dict(type='PackViews'),
]
train_dataloader = dict(
    batch_size=64,
    num_workers=2,
    dataset=dict(data_root='{{$MMC_IMAGES:data/images}}', pipeline=train_pipeline),
)
optim_wrapper = dict(optimizer=dict(lr=2e-3))  # 5e-4 at a batch of 64
train_cfg = dict(max_epochs=100)
fit_to_data = True  # as in vits_folder.py
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=10))
