# Model and optimiser sharded over the processes (FSDP), for any method whose teacher follows its
# student by MomentumTeacherHook: not MoCo v3's, which moves in its forward pass. A config that
# inherits this also sets
#   custom_imports = dict(imports=['mmc_plugin', 'mmc_plugin.engine.fsdp'])
#   optim_wrapper = dict(
#       type='ShardedAutoPrecisionOptimWrapper', constructor='ShardedOptimWrapperConstructor')
runner_type = 'FlexibleRunner'
strategy = dict(
    type='ShardedStrategy',
    state_dict_cfg='full',  # checkpoints are those of the unsharded model
    model_wrapper=dict(
        type='MMFullyShardedDataParallel',
        sharding_strategy='FULL_SHARD',
        use_orig_params=True,
        auto_wrap_policy=dict(
            type='mmc_plugin.engine.fsdp.wrap_types',
            # No parameter that the teacher follows may be left over, or student and teacher are
            # not cut alike.
            types=[
                'TransformerEncoderLayer',
                'VisionTransformer',
                'PretrainedViT',
                'PixelReconstructionHead',
                'PatchContrastHead',
                'GlobalContrastHead',
                'ProjectionMLP',
                'EmbeddingMLP',
                'PrototypeLayer',
            ],
        ),
    ),
)
