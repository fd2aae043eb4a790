# The small ViT of vitt_caltech101.py on the 367 unlabelled training images of CamVid (480×360), for
# the comparison in docs/segmentation.md. Sizes and schedule are ours.
#   CAMVID_ROOT=/path/to/camvid python tools/train.py configs/mmc/vitt_camvid.py
_base_ = ['./vitt_caltech101.py']

# Crops of 1 to 20 % of the image, 48 to 200 pixels wide, so that a patch of 12 pixels covers about
# what it covers when whole images of 480×360 are segmented.
crop = dict(type='ViewCrop', size=48, scale=(0.01, 0.2))
view1 = [crop, *_base_.colour]
view2 = [crop, *_base_.colour, dict(type='ViewSolarize', prob=0.2)]
train_dataloader = dict(
    # An epoch is 6,400 samples: fifty steps.
    sampler=dict(_delete_=True, type='FixedLengthSampler', length=6400),
    dataset=dict(
        data_root='{{$CAMVID_ROOT:data/camvid}}/img_dir/train',
        pipeline=[
            dict(type='LoadImage'),
            dict(type='MultiView', num_views=[1, 1], transforms=[view1, view2]),
            dict(type='GMMLMask', align=12),
            dict(type='PackViews'),
        ],
    ),
)
train_cfg = dict(max_epochs=20)
default_hooks = dict(
    # No labels: spread and rank only.
    features=dict(train_dir=None, val_dir=None, unlabelled_images=256),
    reconstruction=dict(interval=10),
)
