# Linear probe on ImageNet-1K.
#   IMAGENET_ROOT=/path/to/imagenet MMC_CHECKPOINT=… python tools/train.py configs/finetune/vit_imagenet_linear.py
_base_ = ['../_base_/linear_probe.py']
model = dict(head=dict(num_classes=1000))
train_dataloader = dict(
    dataset=dict(
        source=dict(type='ClassFolders', data_root='{{$IMAGENET_ROOT:data/imagenet}}/train')
    )
)
val_dataloader = dict(
    dataset=dict(source=dict(type='ClassFolders', data_root='{{$IMAGENET_ROOT:data/imagenet}}/val'))
)
test_dataloader = val_dataloader
val_evaluator = [dict(type='ClassificationAccuracy', topk=(1, 5))]
test_evaluator = val_evaluator
