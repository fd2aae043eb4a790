# ViT-S/16 on images of other channels than RGB: TIFF or .npy of 8 or 16 bits. One GPU.
#   python tools/train.py configs/mmc/vits_channels.py \
#       --cfg-options in_channels=10 train_dataloader.dataset.data_root=/path/to/images
_base_ = ['./vits_folder.py']

# Reading, augmentation, network and export follow. Our choice: 4, such as RGB and near infrared.
in_channels = 4
