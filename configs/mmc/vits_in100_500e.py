# ViT-S/16, ImageNet-100, 500 epochs (paper §4; Table 2).
# tools/dataset_tools/make_imagenet100.py makes the subset from ImageNet.
_base_ = [
    '../_base_/models/mmc_vits16.py',
    '../_base_/datasets/views_224.py',
    '../_base_/schedules/mmc_adamw.py',
    '../_base_/pretrain_runtime.py',
]
imagenet100 = '{{$IMAGENET100_ROOT:data/imagenet100}}'
train_dataloader = dict(dataset=dict(data_root=imagenet100 + '/train'))
train_cfg = dict(max_epochs=500)  # paper §4
