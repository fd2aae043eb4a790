# vitl_fsdp.py by FSDP2 (fully_shard of PyTorch), with the same checkpoints.
#   tools/dist_train.sh configs/mmc/vitl_fsdp2.py 8
_base_ = ['./vitl_fsdp.py']

strategy = dict(type='FullyShardStrategy')
optim_wrapper = dict(
    type='FullyShardOptimWrapper', constructor='MergedGroupsOptimWrapperConstructor'
)
