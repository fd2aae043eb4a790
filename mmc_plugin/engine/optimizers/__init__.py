from .auto_precision import AutoPrecisionOptimWrapper, BFloat16OptimWrapper
from .layer_decay import LayerDecayOptimWrapperConstructor
from .merged_groups import MergedGroupsOptimWrapperConstructor
from .weight_decay import CosineWeightDecay

__all__ = [
    'AutoPrecisionOptimWrapper',
    'BFloat16OptimWrapper',
    'CosineWeightDecay',
    'LayerDecayOptimWrapperConstructor',
    'MergedGroupsOptimWrapperConstructor',
]
