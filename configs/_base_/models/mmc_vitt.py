# A ViT for machines without a GPU: 6 layers, D 192, small heads, no drop-path. The method is that of
# the other models; the sizes are ours. The config that inherits this sets image and patch size.
_base_ = ['./mmc_vits16.py']

model = dict(
    backbone=dict(
        arch=dict(
            _delete_=True, embed_dims=192, num_layers=6, num_heads=3, feedforward_channels=768
        ),
        drop_path_rate=0.0,
    ),
    rec_head=dict(in_channels=192, hidden_channels=384),
    patch_head=dict(in_channels=192, hidden_channels=384, out_channels=64),
    cls_head=dict(in_channels=192, hidden_channels=384, out_channels=64),
)
