"""Entry points of ``torch.hub``: a vision transformer from a checkpoint, and a segmenter by clicks.

>>> backbone = torch.hub.load('/path/to/checkout', 'backbone', 'epoch_500.pth', source='local')
>>> segmenter = torch.hub.load('/path/to/checkout', 'segmenter', 'epoch_500.pth', source='local')
>>> mask = segmenter.segment('photo.jpg', (120, 80)).mask
"""

# torch.hub looks for them before it calls anything below.
dependencies = ['mmengine', 'mmcv', 'mmpretrain', 'torch', 'torchvision']


def backbone(source, **settings):
    """A frozen vision transformer from a checkpoint of any known format.

    Args:
        source (str): A file, a folder, ``timm:<name>`` or ``hf:<name>``.
        **settings: Of :func:`mmc_plugin.apis.load_backbone`, such as ``which`` and ``out_type``.

    Returns:
        PretrainedViT: By default it gives (B, 1 + N, D) of its last layer, class token first.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it does not hold a vision transformer of a known kind.
    """
    from mmc_plugin.apis import load_backbone

    return load_backbone(source, **settings)


def segmenter(source, **settings):
    """What segments an image by clicks, with the network of a checkpoint.

    Args:
        source (str): As of :func:`backbone`.
        **settings: Of :class:`mmc_plugin.apis.PromptSegmenter`, such as ``device``.

    Returns:
        PromptSegmenter: Its method ``segment(image, points)`` gives masks.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it does not hold a vision transformer of a known kind.
    """
    from mmc_plugin.apis import PromptSegmenter

    return PromptSegmenter(source, **settings)
