# Table 7: finetuning on ImageNet-1K.
#   IMAGENET_ROOT=/path/to/imagenet MMC_CHECKPOINT=… python tools/train.py configs/finetune/vit_imagenet.py
_base_ = ['../_base_/finetune.py']
model = dict(head=dict(num_classes=1000))
train_pipeline = [
    dict(type='ViewCrop', size=224, scale=(0.08, 1.0)),
    dict(type='ViewFlip'),
    dict(  # rand-m9-mstd0.5-inc1
        type='RandAugment',
        policies='timm_increasing',
        num_policies=2,
        total_level=10,
        magnitude_level=9,
        magnitude_std=0.5,
        hparams=dict(pad_val=[104, 116, 124], interpolation='bicubic'),
    ),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    dataset=dict(
        pipeline=train_pipeline,
        source=dict(type='ClassFolders', data_root='{{$IMAGENET_ROOT:data/imagenet}}/train'),
    )
)
val_dataloader = dict(
    dataset=dict(source=dict(type='ClassFolders', data_root='{{$IMAGENET_ROOT:data/imagenet}}/val'))
)
test_dataloader = val_dataloader
val_evaluator = [dict(type='ClassificationAccuracy', topk=(1, 5))]
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=100)
