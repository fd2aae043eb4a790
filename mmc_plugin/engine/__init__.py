from . import feature_loops, hooks, loops, optimizers

__all__ = ['feature_loops', 'hooks', 'loops', 'optimizers']
