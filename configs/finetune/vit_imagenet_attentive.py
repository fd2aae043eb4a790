# Attentive probe on ImageNet-1K, as CAE's release does (arXiv 2202.03026): one learned query over all tokens; SGD with
# momentum .9, without weight decay, lr .4 for 8192 images (here the same for each 256), 10 epochs of warm-up, cosine,
# 90 epochs, crop and flip.
#   IMAGENET_ROOT=/path/to/imagenet MMC_CHECKPOINT=… python tools/train.py configs/finetune/vit_imagenet_attentive.py
_base_ = ['./vit_imagenet_linear.py']
model = dict(
    head=dict(
        _delete_=True,
        type='AttentiveClsHead',
        num_classes=1000,
        num_heads=12,
        test_statistics='running',
        loss=dict(type='CrossEntropyLoss'),
    )
)
optim_wrapper = dict(optimizer=dict(lr=0.4 * 256 / 8192))
param_scheduler = [
    dict(type='LinearLR', start_factor=8e-5, end=10, convert_to_iter_based=True),  # from 1e-6
    dict(type='CosineAnnealingLR', eta_min=0.0, begin=10, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=90)
