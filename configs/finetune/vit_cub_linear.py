# Linear probe on the 200 species of CUB-200-2011: whole birds, where configs/parts asks for their parts.
#   CUB_ROOT=/path/to/CUB_200_2011 MMC_CHECKPOINT=… python tools/train.py configs/finetune/vit_cub_linear.py
_base_ = ['../_base_/linear_probe.py']
model = dict(head=dict(num_classes=200))
train_dataloader = dict(
    dataset=dict(
        source=dict(type='CUB', data_root='{{$CUB_ROOT:data/CUB_200_2011}}', split='train')
    )
)
val_dataloader = dict(
    dataset=dict(source=dict(type='CUB', data_root='{{$CUB_ROOT:data/CUB_200_2011}}', split='test'))
)
test_dataloader = val_dataloader
