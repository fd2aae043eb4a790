# ViT-B/16, ImageNet-1K, 400 epochs (paper §4; Tables 1-3).
#   tools/dist_train.sh configs/mmc/vitb_400e.py 8
_base_ = [
    '../_base_/models/mmc_vitb16.py',
    '../_base_/datasets/views_224.py',
    '../_base_/schedules/mmc_adamw.py',
    '../_base_/pretrain_runtime.py',
]
train_dataloader = dict(dataset=dict(data_root='{{$IMAGENET_ROOT:data/imagenet}}/train'))
train_cfg = dict(max_epochs=400)  # paper §4
