"""Masked Momentum Contrastive learning (arXiv 2308.11448) for OpenMMLab.

Importing the package registers its parts in mmpretrain's registries, so that
``custom_imports = dict(imports=['mmc_plugin'])`` makes them available in any config.
"""

from .hosts import check_hosts, import_quietly
from .version import __version__

check_hosts()
for _part in ('mmpretrain.datasets', 'mmpretrain.models'):
    import_quietly(_part)

from . import datasets, engine, evaluation, models  # noqa: E402

__all__ = ['__version__', 'datasets', 'engine', 'evaluation', 'models']
