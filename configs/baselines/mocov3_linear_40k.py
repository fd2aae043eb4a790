# Table 3, the rows of MoCo-v3: the release's base encoder, which has twelve heads in both sizes.
# MMC_LINEAR names a config of configs/segmentation without its _linear_40k.py: size and data.
#   MMC_LINEAR=vitb_ade20k MMC_CHECKPOINT=vit-b-300ep.pth.tar \
#       bash tools/dist_train.sh configs/baselines/mocov3_linear_40k.py 4
_base_ = ['../segmentation/{{$MMC_LINEAR:vits_ade20k}}_linear_40k.py']
work_dir = 'work_dirs/mocov3_{{$MMC_LINEAR:vits_ade20k}}_linear_40k'
width = _base_.model.decode_head.in_channels[0]
model = dict(
    backbone=dict(
        arch=dict(
            _delete_=True,
            embed_dims=width,
            num_layers=12,
            num_heads=12,
            feedforward_channels=4 * width,
        ),
        which='student',
    )
)
