# Continued pretraining: student and teacher start with the backbone of others, and its heads where
# they fit, and go on with MMC on a small folder of images of one domain. One GPU.
#   python tools/train.py configs/mmc/continue_folder.py \
#       --cfg-options train_dataloader.dataset.data_root=/path/to/images init_from=/path/to/dino.pth
_base_ = ['./vits_folder.py']

# Any checkpoint that load_backbone reads; its width, depth, patch size, registers and LayerScale
# take the place of the config's. Without a file of your own: DINO's ViT-S/16 from timm.
init_from = '{{$MMC_INIT_FROM:timm:vit_small_patch16_224.dino}}'

# DINO release (--momentum_teacher): .9995 for batches of 256 and smaller ones.
model = dict(momentum=0.9995)
# Our choice: a fifth of the learning rate from scratch, still per 256 images.
optim_wrapper = dict(optimizer=dict(lr=1e-4))
train_cfg = dict(max_epochs=100)  # our choice: half of vits_folder.py's
