"""Retrieval of patches that show the same part (arXiv 2301.11915)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from mmpretrain.registry import METRICS
from torch import Tensor, nn

from ...checkpoints import read_checkpoint
from ...errors import InputError, RunError
from ...models.features import FrozenFeatures
from ...models.heads.saved_projection import saved_projection
from ..feature_bank import FeatureBank
from ..functional.average_precision import average_precision
from ..process_parts import gather_parts, own_part
from .bank_metric import BankMetric

_BLOCK_ELEMENTS = 2**22  # similarities sorted at once; about ten such arrays are held
_ROWS = 1024  # class tokens that are projected at once
_RECALLS = torch.arange(1, 21, dtype=torch.float64) / 20  # where curves have points


@METRICS.register_module()
class PartRetrieval(BankMetric):
    """Average precision of patches of the set ``database`` that look for those of their part.

    Each patch ranks the whole set, itself included, by cosine, as the release of arXiv 2301.11915
    does; by class tokens, by means of patch tokens and, where the checkpoint has the projection
    head that it was trained with, by what that makes of class tokens.

    Args:
        max_queries (int, optional): So many patches look for others, evenly drawn. Defaults to
            None: all.
        collect_device (str): Of mmengine. Defaults to 'cpu'.

    Raises:
        ValueError: If ``max_queries`` is not positive, or the sets are others.
    """

    name = 'part_retrieval'
    default_prefix = 'part_retrieval'

    def __init__(self, max_queries: int | None = None, collect_device: str = 'cpu') -> None:
        super().__init__(collect_device=collect_device)
        if max_queries is not None and max_queries < 1:
            raise InputError(f'max_queries must be positive or None, got {max_queries}.')
        self.max_queries = max_queries
        self._projection: nn.Module | None = None

    def check(self, sets: Mapping[str, Any]) -> None:
        """Refuse other sets than a database of labelled patches."""
        if set(sets) != {'database'}:
            raise InputError(
                f"Part retrieval needs the set 'database' and no other, got {', '.join(sets)}."
            )

    def look_at(self, model: FrozenFeatures) -> None:
        """Read the projection head out of the backbone's checkpoint, if there is one."""
        self._projection = None
        backbone = model.backbone
        if getattr(backbone, 'checkpoint', None) is not None:
            checkpoint = read_checkpoint(backbone.checkpoint, backbone.allow_pickle)
            self._projection = saved_projection(checkpoint, backbone.which)

    def measure(self, banks: Mapping[str, FeatureBank], device: torch.device) -> dict[str, Any]:
        """AP as fractions, by kind of feature."""
        bank = banks['database']
        names = (self.dataset_meta or {})['sets']['database'].classes
        gone = [name for i, name in enumerate(names) if not (bank.labels == i).any()]
        if gone:
            raise RunError(
                f'No patch of the part {", ".join(gone)} could be read or was drawn: are the '
                'images whole, and is max_images of the set large enough?'
            )
        number = min(self.max_queries or len(bank), len(bank))
        queries = torch.arange(number) * len(bank) // number
        labels = bank.labels[queries]
        features = {kind: bank.features(kind).to(device) for kind in ('cls', 'pat')}
        if self._projection is not None:
            head = self._projection.to(device)
            blocks = features['cls'].split(_ROWS)
            features['projected'] = torch.cat([head(block) for block in blocks])
        kinds = {}
        for kind in list(features):
            rows = F.normalize(features.pop(kind), dim=1)
            score, curve = self._rank(rows, bank.labels.to(device), queries)
            parts = {name: float(score[labels == i].mean()) for i, name in enumerate(names)
                     if (labels == i).any()}  # fmt: skip
            kinds[kind] = dict(
                map=float(score.mean()), map_of_parts=sum(parts.values()) / len(parts),
                parts=parts, precision=curve.mean(0).tolist(),
            )  # fmt: skip
        share = {name: float((bank.labels == i).float().mean()) for i, name in enumerate(names)}
        source = self.dataset_meta['sets']['database']
        return dict(kinds=kinds, recalls=_RECALLS.tolist(), queries=number, share=share,
                    left_out=dict(getattr(source, 'left_out', {})))  # fmt: skip

    def _rank(self, features: Tensor, labels: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
        """AP and precision over recall of all queries, on the CPU; each process ranks a part."""
        own = queries[torch.tensor(own_part(len(queries)))].to(features.device)
        recalls = _RECALLS.to(features.device)
        blocks = [
            average_precision(
                features[places] @ features.t(), labels[places][:, None] == labels, recalls
            )
            for places in own.split(max(1, _BLOCK_ELEMENTS // len(features)))
        ]
        score, curve = (
            gather_parts(torch.cat(part), len(queries)).cpu() for part in zip(*blocks, strict=True)
        )
        return score, curve

    def scalars(self) -> dict[str, float]:
        """Means over queries and over parts, in percent."""
        return {
            f'{kind}_{key}': 100 * found[key]
            for kind, found in self.numbers['kinds'].items()
            for key in ('map', 'map_of_parts')
        }

    def protocol(self) -> str:
        """What is measured, in words."""
        return (
            'Part retrieval (arXiv 2301.11915): each patch around a keypoint ranks all patches, '
            'itself included, by cosine; those of the same part are relevant. cls: class token; '
            'pat: mean of the patch tokens; projected: output of the projection head on the class '
            'token. map: average precision (as scikit-learn defines it), '
            'mean over queries; map_of_parts: mean over parts of the mean over their queries; '
            'precision: the highest at each of the recalls or beyond, mean over queries; '
            'share: of the patches that show a part, near what chance scores. Numbers are '
            'fractions.'
        )
