from .mmc import MMC

__all__ = ['MMC']
