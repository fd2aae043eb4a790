# Pascal-Part: label maps of one's own with 193 parts of 16 classes, img/{train,val}/*.jpg and ann/{train,val}/*.png of
# the same names; 0 is ignored, parts are 1 to 193.
#   PASCAL_PART_ROOT=… MMC_CHECKPOINT=… bash tools/dist_train.sh configs/part_segmentation/vitb_pascal_part.py 8
_base_ = ['./_base_/size_480.py']
model = dict(decode_head=dict(num_classes=193))
classes = [f'part {number}' for number in range(1, 194)]
images = dict(
    type='BaseSegDataset',
    data_root='{{$PASCAL_PART_ROOT:data/pascal_part}}',
    img_suffix='.jpg',
    seg_map_suffix='.png',
    reduce_zero_label=True,
    metainfo=dict(classes=classes),
)
train_dataloader = dict(
    dataset=dict(
        dataset=dict(images, data_prefix=dict(img_path='img/train', seg_map_path='ann/train'))
    )
)
val_dataloader = dict(
    dataset=dict(dataset=dict(images, data_prefix=dict(img_path='img/val', seg_map_path='ann/val')))
)
test_dataloader = val_dataloader
