# Table 7: finetuning on CIFAR-10.
#   CIFAR_ROOT=/path/to/cifar MMC_CHECKPOINT=… python tools/train.py configs/finetune/vit_cifar10.py
_base_ = ['../_base_/finetune.py']
model = dict(head=dict(num_classes=10))
train_dataloader = dict(
    dataset=dict(
        source=dict(
            type='CifarImages', data_root='{{$CIFAR_ROOT:data/cifar}}', split='train', classes=10
        )
    )
)
val_dataloader = dict(
    dataset=dict(
        source=dict(
            type='CifarImages', data_root='{{$CIFAR_ROOT:data/cifar}}', split='test', classes=10
        )
    )
)
test_dataloader = val_dataloader
