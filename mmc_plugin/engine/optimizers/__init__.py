from .bfloat16 import BFloat16OptimWrapper
from .merged_groups import MergedGroupsOptimWrapperConstructor

__all__ = ['BFloat16OptimWrapper', 'MergedGroupsOptimWrapperConstructor']
