# Two global views of 224² and ten local crops of 96² [iBOT and MC-SSL releases, which share them].
_base_ = ['./views_224.py']
family_colour = [
    dict(type='ViewFlip', prob=0.5),
    dict(type='ViewColorJitter', brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, prob=0.8),
    dict(type='ViewGrayscale', prob=0.2),
]
blur1 = dict(type='ViewGaussianBlur', prob=1.0)
blur2 = dict(type='ViewGaussianBlur', prob=0.1)
blur_local = dict(type='ViewGaussianBlur', prob=0.5)
solarize = dict(type='ViewSolarize', prob=0.2)
global_crop = dict(type='ViewCrop', size=224, scale=(0.25, 1.0))
local_crop = dict(type='ViewCrop', size=96, scale=(0.05, 0.25))
views = dict(
    type='MultiView',
    num_views=[1, 1, 10],
    transforms=[
        [global_crop, *family_colour, blur1],
        [global_crop, *family_colour, blur2, solarize],
        [local_crop, *family_colour, blur_local],
    ],
)
train_dataloader = dict(batch_size=64)
