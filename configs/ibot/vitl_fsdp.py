# iBOT, ViT-L/16, ImageNet-1K, model and optimiser sharded over the GPUs; what differs from
# vits_in1k_800e.py is ours.
#   tools/dist_train.sh configs/ibot/vitl_fsdp.py 8
_base_ = ['./vits_in1k_800e.py', '../_base_/fsdp.py']
custom_imports = dict(imports=['mmc_plugin', 'mmc_plugin.engine.fsdp'])
model = dict(
    backbone=dict(arch='large'),  # D 1024, 24 layers, 16 heads
    head=dict(in_channels=1024, train_length=False),  # release: lengths for ViT-S alone
)
optim_wrapper = dict(
    type='ShardedAutoPrecisionOptimWrapper', constructor='ShardedOptimWrapperConstructor'
)
