# A linear head on the frozen ViT: SGD with the settings of the DINO release (lr .001 for each 256 images, momentum
# .9, no weight decay, cosine, 100 epochs, crop and flip); features of the last layer. The paper gives no recipe.
_base_ = ['./finetune.py']
model = dict(backbone=dict(frozen=True))
train_pipeline = [
    dict(type='ViewCrop', size=224, scale=(0.08, 1.0)),
    dict(type='ViewFlip'),
    dict(type='PackInputs'),
]
train_dataloader = dict(batch_size=256, dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(
    _delete_=True,
    type='AutoPrecisionOptimWrapper',
    precision='auto',
    constructor='MergedGroupsOptimWrapperConstructor',  # leaves the frozen backbone out
    optimizer=dict(type='SGD', lr=1e-3, momentum=0.9, weight_decay=0.0),
)
param_scheduler = [dict(type='CosineAnnealingLR', eta_min=0.0, convert_to_iter_based=True)]
train_cfg = dict(max_epochs=100)
auto_scale_lr = dict(base_batch_size=256)
