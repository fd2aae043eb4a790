"""Images in few large files: tar shards, as WebDataset writes them, and parquet."""

from .index import ShardIndex
from .sampler import BlockShuffledSampler
from .sharded_images import ShardedImages

__all__ = ['BlockShuffledSampler', 'ShardIndex', 'ShardedImages']
