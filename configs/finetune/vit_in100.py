# Table 4: finetuning on ImageNet-100, of which the folder may hold all of ImageNet.
#   IMAGENET100_ROOT=/path/to/imagenet100 MMC_CHECKPOINT=… python tools/train.py configs/finetune/vit_in100.py
_base_ = ['../_base_/finetune.py']
model = dict(head=dict(num_classes=100))
train_dataloader = dict(
    dataset=dict(
        source=dict(
            type='ClassFolders',
            data_root='{{$IMAGENET100_ROOT:data/imagenet100}}/train',
            classes='imagenet100',
        )
    )
)
val_dataloader = dict(
    dataset=dict(
        source=dict(
            type='ClassFolders',
            data_root='{{$IMAGENET100_ROOT:data/imagenet100}}/val',
            classes='imagenet100',
        )
    )
)
test_dataloader = val_dataloader
val_evaluator = [dict(type='ClassificationAccuracy', topk=(1, 5))]
test_evaluator = val_evaluator
