# Cityscapes, 19 classes. Crops of 512², flip and photometric distortion: the paper's Table 3; the
# sizes before the crop are those of mmsegmentation's cityscapes.py.
_base_ = ['./vits16.py', './schedule_40k.py', './runtime.py', './crops_512.py']
model = dict(decode_head=dict(num_classes=19))
data_root = '{{$CITYSCAPES_ROOT:data/cityscapes}}'
train_pipeline = [
    *_base_.train_pipeline[:2],
    dict(type='RandomResize', scale=(2048, 1024), ratio_range=(0.5, 2.0), keep_ratio=True),
    *_base_.train_pipeline[3:],
]
test_pipeline = [
    _base_.test_pipeline[0],
    dict(type='Resize', scale=(2048, 1024), keep_ratio=True),
    *_base_.test_pipeline[2:],
]
train_dataloader = dict(
    dataset=dict(
        type='CheckedSegDataset',
        dataset=dict(
            type='CityscapesDataset',
            data_root=data_root,
            data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
            pipeline=train_pipeline,
        ),
    ),
)
val_dataloader = dict(
    dataset=dict(
        type='CheckedSegDataset',
        dataset=dict(
            type='CityscapesDataset',
            data_root=data_root,
            data_prefix=dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val'),
            pipeline=test_pipeline,
        ),
    ),
)
test_dataloader = val_dataloader
