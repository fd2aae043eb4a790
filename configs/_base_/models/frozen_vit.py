# Any pretrained ViT, frozen: tools/test.py puts its CHECKPOINT where checkpoint_key says.
checkpoint_key = 'model.backbone.checkpoint'
model = dict(
    type='FrozenFeatures',
    backbone=dict(
        type='PretrainedViT',
        arch='auto',
        checkpoint='{{$MMC_CHECKPOINT:checkpoint.pth}}',
        out_type='raw',
    ),
    size=480,  # rounded to a multiple of the patch size
    fit='stretch',  # or 'pad': the aspect is kept
    layer=-1,
    stride=None,  # a divisor of the patch size: shifted passes, averaged
    debias=None,  # or 'mean', 'noise': what a patch's place alone explains is taken away
)
# The usual wrapper of several processes refuses a model without anything to train.
model_wrapper_cfg = dict(type='MMSeparateDistributedDataParallel')
