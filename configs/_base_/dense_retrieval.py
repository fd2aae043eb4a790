# Segmentation by the nearest labelled patches (arXiv 2306.01667): nothing is trained. A config of a data
# set sets model.memory to its training images.
checkpoint_key = 'model.features.backbone.checkpoint'
nearest_patches = dict(
    type='NearestPatchSegmentor',
    features=dict(
        _scope_='mmpretrain',
        type='FrozenFeatures',
        backbone=dict(
            type='PretrainedViT',
            arch='auto',
            checkpoint='{{$MMC_CHECKPOINT:checkpoint.pth}}',
            out_type='raw',
        ),
        size=512,  # [arXiv 2306.01667]
    ),
    memory_size=1_024_000,  # a tenth of the source's, which 16 GB hold for 384 wide features
    k=30,  # [likewise]
    temperature=0.02,  # [likewise]
)
whole_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
