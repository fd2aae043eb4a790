# ADE20K-Part: label maps of one's own with 209 parts, images/{training,validation}/*.jpg and annotations/…/*.png of
# the same names; 0 is ignored, parts are 1 to 209. Which 209 of ADE20K's parts arXiv 2301.11915 took is not known.
#   ADE20K_PART_ROOT=… MMC_CHECKPOINT=… bash tools/dist_train.sh configs/part_segmentation/vitb_ade20k_part.py 8
_base_ = ['./_base_/size_512.py']
model = dict(decode_head=dict(num_classes=209))
classes = [f'part {number}' for number in range(1, 210)]
images = dict(
    type='BaseSegDataset',
    data_root='{{$ADE20K_PART_ROOT:data/ade20k_part}}',
    img_suffix='.jpg',
    seg_map_suffix='.png',
    reduce_zero_label=True,
    metainfo=dict(classes=classes),
)
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            images,
            data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        )
    )
)
val_dataloader = dict(
    dataset=dict(
        dataset=dict(
            images,
            data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
        )
    )
)
test_dataloader = val_dataloader
