# Linear segmentation of arXiv 2301.11915: frozen ViT-B/16, layers 3, 5, 7, 11 counted from 0 as they are, without the
# ViT's last norm, concatenated, and a 1×1 convolution without batch norm; AdamW 4e-4, (.9, .999), weight decay .05,
# linear warm-up over 1500 iterations from 1e-6, poly 1, 160k iterations of 8 GPUs × 2 images [release]. Its auxiliary
# head trains nothing else and is left out.
#   MMC_CHECKPOINT=/path/to/checkpoint bash tools/dist_train.sh CONFIG 8
_base_ = [
    '../../segmentation/_base_/vits16.py',
    '../../segmentation/_base_/schedule_40k.py',
    '../../segmentation/_base_/runtime.py',
]
model = dict(
    backbone=dict(arch='deit-base', out_indices=(3, 5, 7, 11), norm_last=False),
    decode_head=dict(
        _delete_=True,
        type='FCNHead',
        num_convs=0,
        concat_input=False,
        in_channels=[768] * 4,
        in_index=[0, 1, 2, 3],
        input_transform='resize_concat',
        channels=4 * 768,
        num_classes=0,
        dropout_ratio=0.0,
        loss_decode=dict(type='CrossEntropyLoss'),
    ),
)
# The vits_*.py configs.
vits16 = dict(
    backbone=dict(arch='deit-small'), decode_head=dict(in_channels=[384] * 4, channels=4 * 384)
)
train_dataloader = dict(batch_size=2)
optim_wrapper = dict(optimizer=dict(lr=4e-4))
train_cfg = dict(max_iters=160000, val_interval=16000)
default_hooks = dict(checkpoint=dict(interval=16000))
