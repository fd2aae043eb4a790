"""A linear classifier of the two kinds of features."""

from __future__ import annotations

from torch import Tensor, nn

KINDS = ('cls', 'pat')


class LinearProbe(nn.Module):
    """One linear layer for each kind of features, behind a batch norm that learns nothing.

    Args:
        width (int): D.
        classes (int): C.
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        # As in the linear probes of MAE (arXiv 2111.06377, appendix A.1).
        self.norms = nn.ModuleDict({k: nn.BatchNorm1d(width, 1e-6, affine=False) for k in KINDS})
        self.layers = nn.ModuleDict({k: nn.Linear(width, classes, device='meta') for k in KINDS})
        # Zeros are no obstacle to one layer, and draw no random number.
        self.layers.to_empty(device='cpu')
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self, kind: str, features: Tensor) -> Tensor:
        """Logits (N, C) of features (N, D)."""
        return self.layers[kind](self.norms[kind](features))
