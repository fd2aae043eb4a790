# ViT-S/16 and the normalisation of its images, which the family of methods shares; a config adds
# the method and its heads.
model = dict(
    data_preprocessor=dict(
        type='ViewDataPreprocessor',
        mean=[123.675, 116.28, 103.53],  # ImageNet statistics, RGB
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
        non_blocking=True,
    ),
    backbone=dict(
        type='VisionTransformer',
        arch='deit-small',  # D 384, 12 layers, 6 heads
        img_size=224,
        patch_size=16,
        drop_path_rate=0.1,  # student only; SiT, DINO, iBOT and MC-SSL releases
        out_type='raw',
        init_cfg=[
            dict(type='TruncNormal', layer=['Linear', 'Conv2d'], std=0.02),
            dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
        ],
    ),
    momentum=0.996,  # SiT, DINO, iBOT, MC-SSL and MSN releases
    end_momentum=1.0,
)
