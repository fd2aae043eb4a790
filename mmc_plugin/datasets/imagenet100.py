"""The 100 classes of ImageNet-1K that the paper trains its small models on."""

from importlib import resources


def imagenet100_wnids() -> list[str]:
    """Their ids, in the order of the list of danielchyeh/ImageNet-100-Pytorch."""
    text = resources.files(__package__).joinpath('imagenet100_wnids.txt').read_text()
    return text.split()
