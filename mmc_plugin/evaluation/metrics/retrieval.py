"""Image retrieval by frozen features (arXiv 2308.11448, table 9)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmpretrain.registry import METRICS
from torch import Tensor

from ...errors import InputError, RunError
from ...wording import counted
from ..feature_bank import KINDS, FeatureBank
from ..functional.retrieval import RankingScores, ranking_scores
from ..process_parts import gather_parts, own_part
from .bank_metric import BankMetric, warn

_BLOCK_ELEMENTS = 2**22  # similarities sorted at once; about ten such arrays are held
# Name → what is relevant and what is junk, of the lists of the ground truth.
PROTOCOLS = dict(
    medium=(('easy', 'hard'), ('junk',)),
    hard=(('hard',), ('junk', 'easy')),
)

# Places of queries → their relevant and junk images, bool (m, N) each.
Truth = Callable[[Tensor], tuple[Tensor, Tensor]]


@METRICS.register_module()
class Retrieval(BankMetric):
    """mAP and mean precision at some ranks of the set ``database``, ranked by cosine to queries.

    With a ground truth (:class:`RevisitedLandmarks`) the set ``query`` is scored by the protocols
    Medium and Hard. Without one, images of the same class are relevant; with a single set each of
    its images looks for the others.

    Args:
        kind (str): Of features. Defaults to 'cls'.
        ranks (Sequence[int]): Defaults to (1, 5, 10).
        collect_device (str): Of mmengine. Defaults to 'cpu'.
    """

    name = 'retrieval'
    default_prefix = 'retrieval'

    def __init__(
        self, kind: str = 'cls', ranks: Sequence[int] = (1, 5, 10), collect_device: str = 'cpu'
    ) -> None:
        super().__init__(collect_device=collect_device)
        if kind not in KINDS or not ranks or min(ranks) < 1:
            raise InputError(
                f'Retrieval needs a kind of {", ".join(KINDS)} and positive ranks, got {kind!r} '
                f'and {ranks}.'
            )
        self.kind, self.ranks = kind, tuple(ranks)

    def check(self, sets: Mapping[str, Any]) -> None:
        """Refuse other sets than a database and queries."""
        if set(sets) not in ({'database'}, {'database', 'query'}):
            raise InputError(
                f"Retrieval needs the set 'database', and 'query' if these are others, got "
                f'{", ".join(sets)}.'
            )

    def measure(self, banks: Mapping[str, FeatureBank], device: torch.device) -> dict[str, Any]:
        """mAP and mP as fractions, by protocol."""
        database = banks['database']
        query = banks.get('query', database)
        features = [F.normalize(each.features(self.kind).to(device), dim=1)
                    for each in (query, database)]  # fmt: skip
        numbers = {}
        for name, truth in self._truths(query, database, query is database).items():
            scores = self._score(*features, truth)
            without = int(scores.average_precision.isnan().sum())
            if without:
                found = counted(without, 'query', 'queries')
                warn(f'{name}: left out {found} without a relevant image.')
            mean, precision = scores.means()
            at = {f'mp@{rank}': each for rank, each in zip(self.ranks, precision)}
            numbers[name] = dict(map=mean, **at, queries=len(query) - without, without=without)
        if not any(found['queries'] for found in numbers.values()):
            raise RunError(
                'No query has a relevant image in the database: are both sets of the same data '
                'set, and whole?'
            )
        return dict(protocols=numbers)

    def _truths(self, query: FeatureBank, database: FeatureBank, same: bool) -> dict[str, Truth]:
        source = (self.dataset_meta or {}).get('sets', {}).get('query')
        truth = getattr(source, 'ground_truth', None)
        if truth is None:

            def of_class(places: Tensor) -> tuple[Tensor, Tensor]:
                relevant = query.labels[places][:, None] == database.labels
                itself = query.index[places][:, None] == database.index
                return relevant, itself if same else torch.zeros_like(relevant)

            return {'classes': of_class}

        def by_lists(good: Sequence[str], bad: Sequence[str]) -> Truth:
            def of_lists(places: Tensor) -> tuple[Tensor, Tensor]:
                found = []
                for names in (good, bad):
                    lists = [
                        torch.cat([torch.from_numpy(truth[i][name]) for name in names])
                        for i in query.index[places].tolist()
                    ]
                    found.append(torch.stack([torch.isin(database.index, each) for each in lists]))
                return found[0], found[1]

            return of_lists

        return {name: by_lists(*lists) for name, lists in PROTOCOLS.items()}

    def _score(self, queries: Tensor, database: Tensor, truth: Truth) -> RankingScores:
        """Scores of all queries; each process ranks a part."""
        part = torch.tensor(own_part(len(queries)))
        found = []
        for places in part.split(max(1, _BLOCK_ELEMENTS // len(database))):
            similarity = queries[places.to(queries.device)] @ database.t()
            relevant, junk = (each.to(similarity.device) for each in truth(places))
            found.append(ranking_scores(similarity, relevant, junk, self.ranks))
        gathered = (
            gather_parts(torch.cat([getattr(each, name) for each in found]), len(queries)).cpu()
            for name in ('average_precision', 'precision')
        )
        return RankingScores(*gathered)

    def scalars(self) -> dict[str, float]:
        """mAP and mP in percent."""
        return {
            f'{name}_{key}': 100 * value
            for name, found in self.numbers['protocols'].items()
            for key, value in found.items()
            if key.startswith('m')
        }

    def protocol(self) -> str:
        """What is measured, in words."""
        return (
            'Image retrieval (arXiv 2308.11448, table 9; scores of arXiv 1803.11285): the database '
            f'is ranked by the cosine of {self.kind} features to each query. medium: easy and hard '
            'images are relevant, junk is ignored; hard: hard ones are relevant, easy and junk '
            'ones ignored; classes: images of the same class are relevant, the query itself '
            'ignored. map: area under precision over recall, by the trapezoidal rule; mp@k: '
            'precision of the first k, or of those up to the last relevant one. Numbers are '
            'fractions.'
        )
