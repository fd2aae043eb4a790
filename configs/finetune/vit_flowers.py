# Table 7: finetuning on Oxford Flowers-102.
#   FLOWERS_ROOT=/path/to/flowers102 MMC_CHECKPOINT=… python tools/train.py configs/finetune/vit_flowers.py
_base_ = ['../_base_/finetune.py']
model = dict(head=dict(num_classes=102))
train_dataloader = dict(
    dataset=dict(
        source=dict(
            type='Flowers102', data_root='{{$FLOWERS_ROOT:data/flowers102}}', split='trainval'
        )
    )
)
val_dataloader = dict(
    dataset=dict(
        source=dict(type='Flowers102', data_root='{{$FLOWERS_ROOT:data/flowers102}}', split='test')
    )
)
test_dataloader = val_dataloader
