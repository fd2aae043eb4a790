# Table 2, a row to compare with: ViT-S/16 with random weights.
#   DAVIS_ROOT=/path/to/davis2017 tools/test.sh configs/video/random_vits_davis2017.py none
_base_ = 'davis2017.py'
checkpoint_key = None
model = dict(
    features=dict(
        seed=0,
        backbone=dict(
            _delete_=True,
            type='PretrainedViT',
            arch='deit-small',
            img_size=224,
            patch_size=16,
            out_type='raw',
        ),
    )
)
