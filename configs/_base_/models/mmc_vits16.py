# MMC with ViT-S/16 at 224² (paper §4). "paper" is arXiv 2308.11448.
_base_ = ['./vits16.py']
model = dict(
    type='MMC',
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
    loss_weights=dict(rec=1.0, patch=1.0, cls=1.0),  # our choice; the paper gives none
)
