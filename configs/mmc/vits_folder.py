# ViT-S/16 on any folder of images, one GPU.
#   python tools/train.py configs/mmc/vits_folder.py \
#       --cfg-options train_dataloader.dataset.data_root=/path/to/images
_base_ = [
    '../_base_/models/mmc_vits16.py',
    '../_base_/datasets/views_224.py',
    '../_base_/schedules/mmc_adamw.py',
    '../_base_/pretrain_runtime.py',
]
train_dataloader = dict(
    batch_size=96,  # our choice: fits into 24 GB; smaller cards: 48
    dataset=dict(data_root='{{$MMC_IMAGES:data/images}}', pipeline={{_base_.photograph_pipeline}}),
)
train_cfg = dict(max_epochs=200)
# A small folder or a short run: tools/train.py lessens batch, warm-up and workers, and says so.
fit_to_data = True
# An epoch of a small folder is short and a checkpoint is about a gigabyte.
default_hooks = dict(checkpoint=dict(interval=10))
