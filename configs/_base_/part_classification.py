# Part classification of arXiv 2301.11915: a linear layer on the class token of the frozen ViT. SGD with momentum .9,
# without weight decay, lr .1 for each 256 patches, batch 1024, cosine for each epoch, 90 epochs, no augmentation
# [release]. The study prints the best accuracy of all epochs; here the last epoch counts. The former:
#   --cfg-options train_cfg.val_interval=1, and test best_accuracy_top1_epoch_*.pth
_base_ = ['./linear_probe.py']
model = dict(keep_bytes=4 * 2**30)  # each patch is encoded once, as far as they fit
train_pipeline = [  # shows the inner 87 % of a patch, where a test shows all of it [release]
    dict(type='ResizeEdge', scale=256, edge='short', backend='pillow', interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='Resize', scale=(224, 224), backend='pillow', interpolation='bicubic'),
    dict(type='PackInputs'),
]
train_dataloader = dict(batch_size=1024, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=256, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=0.4))
param_scheduler = [dict(type='CosineAnnealingLR', eta_min=0.0)]
train_cfg = dict(max_epochs=90)
auto_scale_lr = dict(base_batch_size=1024)
# The *_attentive.py configs.
attentive_head = dict(
    type='AttentiveClsHead',
    num_heads=12,
    test_statistics='running',  # 'batch' in the release: a test then depends on its batches
    loss=dict(type='CrossEntropyLoss'),
)
