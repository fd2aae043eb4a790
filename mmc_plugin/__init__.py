"""Masked Momentum Contrastive learning (arXiv 2308.11448) for OpenMMLab.

Importing the package registers its parts in mmpretrain's registries, so that
``custom_imports = dict(imports=['mmc_plugin'])`` makes them available in any config.
"""

from .version import __version__, check_hosts

check_hosts()

from . import datasets, engine, evaluation, models  # noqa: E402

__all__ = ['__version__', 'datasets', 'engine', 'evaluation', 'models']
