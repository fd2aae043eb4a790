# Linear probe on any folder with train/<class>/* and val/<class>/*.
#   DATA_ROOT=/path/to/folder MMC_CHECKPOINT=… python tools/train.py configs/finetune/vit_folder_linear.py \
#       --cfg-options model.head.num_classes=…
_base_ = ['../_base_/linear_probe.py']
model = dict(head=dict(num_classes=100))
train_dataloader = dict(
    dataset=dict(source=dict(type='ClassFolders', data_root='{{$DATA_ROOT:data/folder}}/train'))
)
val_dataloader = dict(
    dataset=dict(source=dict(type='ClassFolders', data_root='{{$DATA_ROOT:data/folder}}/val'))
)
test_dataloader = val_dataloader
