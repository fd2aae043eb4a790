# The small ViT of mmc/vitt_caltech101.py (patch 12, 6 layers), frozen, on CamVid: its last four
# layers. 12 divides 480×360. See vits_camvid_linear.py.
_base_ = ['./vits_camvid_linear.py']
model = dict(
    data_preprocessor=dict(size_divisor=12, test_cfg=dict(size_divisor=12)),
    backbone=dict(
        arch=dict(
            _delete_=True, embed_dims=192, num_layers=6, num_heads=3, feedforward_channels=768
        ),
        img_size=(360, 480),
        patch_size=12,
        out_indices=(2, 3, 4, 5),
    ),
    decode_head=dict(in_channels=[192] * 4),
)
