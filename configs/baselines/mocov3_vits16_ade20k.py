# Table 3, the row of MoCo-v3, ViT-S/16, on ADE20K: the release's base encoder, which
# has twelve heads.
#   MMC_CHECKPOINT=vit-s-300ep.pth.tar \
#       bash tools/dist_train.sh configs/baselines/mocov3_vits16_ade20k.py 4
_base_ = ['../segmentation/vits_ade20k_linear_40k.py']
model = dict(
    backbone=dict(
        arch=dict(
            _delete_=True,
            embed_dims=384,
            num_layers=12,
            num_heads=12,
            feedforward_channels=1536,
        ),
        which='student',
    )
)
