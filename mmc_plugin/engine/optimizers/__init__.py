from .auto_precision import AutoPrecisionOptimWrapper, BFloat16OptimWrapper
from .merged_groups import MergedGroupsOptimWrapperConstructor

__all__ = [
    'AutoPrecisionOptimWrapper',
    'BFloat16OptimWrapper',
    'MergedGroupsOptimWrapperConstructor',
]
