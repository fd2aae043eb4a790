"""Takes pretrained weights from timm."""

from __future__ import annotations

from .checkpoint import Checkpoint


def read_timm(source: str) -> Checkpoint:
    """Let timm make a model with its pretrained weights.

    Args:
        source (str): ``timm:<name>`` with a name of ``timm.list_pretrained()``.

    Raises:
        ConnectionError: If the weights are not at hand and cannot be fetched.
        ImportError: If timm is not installed.
        ValueError: If timm knows no such weights.
    """
    try:
        import timm
    except ImportError:
        raise ImportError(f'install timm to load {source}') from None
    name = source.removeprefix('timm:')
    if ':' not in name and not timm.is_model_pretrained(name):
        raise ValueError(
            f'timm has no pretrained weights called {name}: see timm.list_pretrained("vit*")'
        )
    try:
        model = timm.create_model(name, pretrained=True)
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).strip().partition('\n')[0]
        raise ConnectionError(
            f'{source} could not be loaded ({reason}): without a network, download its weights '
            'elsewhere and give the file or folder'
        ) from None
    blocks = getattr(model, 'blocks', None)
    config = dict(model.pretrained_cfg)
    if blocks:
        config['num_heads'] = getattr(getattr(blocks[0], 'attn', None), 'num_heads', None)
    return Checkpoint(source, 'timm', dict(model.state_dict()), config)
