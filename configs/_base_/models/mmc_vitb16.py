_base_ = ['./mmc_vits16.py']

# ViT-B/16: D 768, 12 layers, 12 heads (paper §4).
model = dict(
    backbone=dict(arch='base'),
    rec_head=dict(in_channels=768),
    patch_head=dict(in_channels=768),
    cls_head=dict(in_channels=768),
)
