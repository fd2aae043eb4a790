# A small ViT on any folder of images, for machines without a GPU: 64² pixels in patches of 8,
# 4 layers, D 192. Sizes are ours.
#   python tools/train.py configs/mmc/vitt_folder.py \
#       --cfg-options train_dataloader.dataset.data_root=/path/to/images
_base_ = '../_base_/mmc_vitt_64.py'
train_dataloader = dict(batch_size=64, dataset=dict(data_root='{{$MMC_IMAGES:data/images}}'))
optim_wrapper = dict(optimizer=dict(lr=2e-3))  # 5e-4 at a batch of 64
train_cfg = dict(max_epochs=100)
fit_to_data = True  # as in vits_folder.py
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=10))
