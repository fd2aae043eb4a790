# ViT-L/16, ImageNet-1K, model and optimiser sharded over the GPUs. The paper stops at ViT-B; all
# that differs from vitb_400e.py is our choice.
#   tools/dist_train.sh configs/mmc/vitl_fsdp.py 8
_base_ = ['./vitb_400e.py', '../_base_/fsdp.py']
custom_imports = dict(imports=['mmc_plugin', 'mmc_plugin.engine.fsdp'])

model = dict(
    backbone=dict(arch='large'),  # D 1024, 24 layers, 16 heads
    rec_head=dict(in_channels=1024),
    patch_head=dict(in_channels=1024),
    cls_head=dict(in_channels=1024),
)

optim_wrapper = dict(
    type='ShardedAutoPrecisionOptimWrapper', constructor='ShardedOptimWrapperConstructor'
)
