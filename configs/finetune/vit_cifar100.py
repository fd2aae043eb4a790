# Table 7: finetuning on CIFAR-100.
#   CIFAR_ROOT=/path/to/cifar MMC_CHECKPOINT=… python tools/train.py configs/finetune/vit_cifar100.py
_base_ = ['./vit_cifar10.py']
model = dict(head=dict(num_classes=100))
train_dataloader = dict(dataset=dict(source=dict(classes=100)))
val_dataloader = dict(dataset=dict(source=dict(classes=100)))
test_dataloader = val_dataloader
