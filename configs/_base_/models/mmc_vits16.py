# MMC with ViT-S/16. "paper" is arXiv 2308.11448.
model = dict(
    type='MMC',
    data_preprocessor=dict(
        type='ViewDataPreprocessor',
        mean=[123.675, 116.28, 103.53],  # ImageNet statistics, RGB
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
        non_blocking=True,
    ),
    backbone=dict(
        type='VisionTransformer',
        arch='deit-small',  # D 384, 12 layers, 6 heads: the paper's ViT-S
        img_size=224,  # paper §4
        patch_size=16,  # paper §4
        drop_path_rate=0.1,  # student only; SiT release
        out_type='raw',
        init_cfg=[
            dict(type='TruncNormal', layer=['Linear', 'Conv2d'], std=0.02),
            dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
        ],
    ),
    rec_head=dict(
        type='PixelReconstructionHead',
        in_channels=384,
        patch_size=16,
        hidden_channels=4096,  # paper §4; SiT and GMML releases: D
    ),
    patch_head=dict(
        type='PatchContrastHead',
        in_channels=384,
        hidden_channels=4096,  # paper §4
        out_channels=256,  # MC-SSL release
        temperature=0.2,  # paper §4
        queries='all',  # our choice; 'masked' takes the corrupted patches only
        gather_keys=False,  # our choice: B * N local keys are enough
    ),
    cls_head=dict(
        type='GlobalContrastHead',
        in_channels=384,
        hidden_channels=4096,  # paper §4
        out_channels=256,  # MC-SSL release
        temperature=0.2,  # paper §4
    ),
    momentum=0.996,  # of the teacher, to 1 along a half cosine; SiT release
    end_momentum=1.0,
    loss_weights=dict(rec=1.0, patch=1.0, cls=1.0),  # our choice; the paper gives none
)
