# A training of a few seconds: the real configs, made small. All losses, drop-path, warm-up,
# clipping and the moving teacher are on. Set train_dataloader.dataset.data_root.
_base_ = ['../../configs/mmc/vits_in100_500e.py']

tiny_head = dict(hidden_channels=32, in_channels=48)
model = dict(
    backbone=dict(
        _delete_=True,
        type='VisionTransformer',
        arch=dict(embed_dims=48, num_layers=2, num_heads=3, feedforward_channels=96),
        img_size=32,
        patch_size=8,
        drop_path_rate=0.2,
        out_type='raw',
    ),
    rec_head=dict(patch_size=8, **tiny_head),
    patch_head=dict(out_channels=16, **tiny_head),
    cls_head=dict(out_channels=16, **tiny_head),
)
tiny_view = [
    dict(type='ViewCrop', size=32, scale=(0.2, 1.0)),
    dict(type='ViewFlip', prob=0.5),
    dict(type='ViewGrayscale', prob=0.2),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    pin_memory=False,
    dataset=dict(
        pipeline=[
            dict(type='LoadImage'),
            dict(type='MultiView', num_views=[1, 1], transforms=[tiny_view, tiny_view]),
            dict(type='GMMLMask', noise_ratio=0.75, alien_ratio=0.3, alien_prob=0.5, align=8),
            dict(type='PackViews'),
        ]
    ),
)
train_cfg = dict(max_epochs=4)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=1, convert_to_iter_based=True),
]
default_hooks = dict(
    logger=dict(interval=1),
    checkpoint=dict(interval=1, max_keep_ckpts=2),
    reconstruction=dict(interval=0),
)
log_processor = dict(window_size=1)  # losses of each iteration, in full, in scalars.json
visualizer = dict(vis_backends=[dict(type='LocalVisBackend')])
