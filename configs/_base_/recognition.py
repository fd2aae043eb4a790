# What every evaluation of the features of whole images shares: a frozen ViT, sets of images, a report.
_base_ = ['./zero_shot.py']
model = dict(size=224, fit='crop')  # DINO's: short side 256/224 of the size, bicubic; the middle
test_cfg = dict(type='FeatureBankLoop', cache_dir=None)  # 'features': kept in the work directory
test_dataloader = dict(
    batch_size=64,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='ImageSets'),
)
