# ViT-B/16 on any folder of images, one GPU: as vits_folder.py.
_base_ = ['./vits_folder.py']

model = dict(
    backbone=dict(arch='base'),  # D 768, 12 layers, 12 heads (paper §4)
    rec_head=dict(in_channels=768),
    patch_head=dict(in_channels=768),
    cls_head=dict(in_channels=768),
)
train_dataloader = dict(batch_size=48)  # our choice: half of ViT-S's
