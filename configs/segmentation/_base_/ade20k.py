# ADE20K, 150 classes. Crops of 512², flip and photometric distortion: the paper's Table 3; the
# sizes before the crop are those of mmsegmentation's ade20k.py.
_base_ = ['./vits16.py', './schedule_40k.py', './runtime.py', './crops_512.py']
model = dict(decode_head=dict(num_classes=150))
data_root = '{{$ADE20K_ROOT:data/ade/ADEChallengeData2016}}'
train_dataloader = dict(
    dataset=dict(
        type='CheckedSegDataset',
        dataset=dict(
            type='ADE20KDataset',  # label 0 is ignored (reduce_zero_label)
            data_root=data_root,
            data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
            pipeline=_base_.train_pipeline,
        ),
    ),
)
val_dataloader = dict(
    dataset=dict(
        type='CheckedSegDataset',
        dataset=dict(
            type='ADE20KDataset',
            data_root=data_root,
            data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
            pipeline=_base_.test_pipeline,
        ),
    ),
)
test_dataloader = val_dataloader
