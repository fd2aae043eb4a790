# Finetuning at small scale, for machines without a GPU: the ViT of mmc/vitt_caltech101.py at 48² on the
# labels of the images that it was pretrained on. Sizes and length are ours; all else is the paper's recipe.
#   CALTECH101_ROOT=/path/to/caltech101 MMC_CHECKPOINT=… python tools/train.py configs/finetune/vitt_caltech101_20e.py
_base_ = ['vit_folder.py']
size = 48
model = dict(backbone=dict(img_size=size))
train_dataloader = dict(
    num_workers=2,
    dataset=dict(
        source=dict(data_root='{{$CALTECH101_ROOT:data/caltech101}}/train'),
        pipeline=[dict(type='ViewCrop', size=size, scale=(0.08, 1.0)), *_base_.train_pipeline[1:]],
    ),
)
val_dataloader = dict(
    num_workers=2,
    dataset=dict(
        source=dict(data_root='{{$CALTECH101_ROOT:data/caltech101}}/val'),
        pipeline=[
            # 256 for crops of 224, in proportion.
            dict(_base_.test_pipeline[0], scale=55),
            dict(type='CenterCrop', crop_size=size),
            dict(type='PackInputs'),
        ],
    ),
)
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=20, val_interval=5)
