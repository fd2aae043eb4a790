"""Objects followed through videos (arXiv 2308.11448, table 2)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.logging import print_log
from mmpretrain.registry import METRICS

from ...datasets.davis import read_objects
from ...datasets.prompt_dataset import UnusableMasksError
from ...datasets.transforms.loading import LoadImage
from ...errors import RunError
from ...structures.palette import decode_palette
from ...visualization.video import contact_sheet, draw_objects
from ...wording import counted
from ..functional.davis_scores import boundary_accuracy, region_similarity, sequence_statistics
from .reported import Predict, ReportedMetric

_SHOWN = 6  # frames of a sequence in the sheet
_ROWS = 12  # sequences in the sheet


@METRICS.register_module()
class VideoScores(ReportedMetric):
    """J, F and J&F of DAVIS-2017, as its official semi-supervised evaluation takes them.

    The first and the last frame of a sequence are not scored. Its objects are those of the first
    mask, 1 to the highest index; J and F of each are summed up over its frames as mean, recall and
    decay, and these are averaged over all objects of all sequences.

    Sequences that cannot be used are left out and counted; what is odd about an object is noted.
    """

    name = 'video_scores'
    default_prefix = 'video'

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Score the sequences of a batch."""
        for sample in data_samples:
            result = {key: sample[key] for key in ('sample_idx', 'sequence', 'skipped')}
            if result['skipped'] is None:
                try:
                    result.update(_measure(sample))
                except UnusableMasksError as error:
                    result['skipped'] = sample['frame_paths'][0], str(error)
            self.results.append(result)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Sum up; set :attr:`numbers`.

        Raises:
            RuntimeError: If no sequence could be used.
        """
        # Samplers repeat sequences to give each process as many.
        once = sorted(
            {each['sample_idx']: each for each in results}.values(),
            key=lambda each: each['sample_idx'],
        )
        used = [each for each in once if each['skipped'] is None]
        skipped = [[each['sequence'], *each['skipped']] for each in once if each['skipped']]
        notes = [[each['sequence'], words] for each in used for words in each['notes']]
        if skipped:
            name, path, words = skipped[0]
            print_log(
                f'Left out {len(skipped)} of {counted(len(once), "sequence")}, the first: {name} '
                f'({path}): {words}',
                logger='current',
                level=logging.WARNING,
            )
        if not used:
            raise RunError(
                f'None of the sequences could be used ({len(once)} in all); the first is '
                f'{skipped[0][0]!r} ({skipped[0][1]}): {skipped[0][2]}.'
            )
        per_sequence = {each['sequence']: _summary(each['scores']) for each in used}
        total = _mean([one for each in per_sequence.values() for one in each['objects'].values()])
        self.numbers = dict(
            sequences=len(used),
            objects=sum(each['scores'].shape[1] for each in used),
            frames=sum(each['scores'].shape[2] for each in used),
            skipped_sequences=skipped,
            notes=notes,
            **total,
            per_sequence=per_sequence,
        )
        self._sheet = {each['sequence']: each['shown'] for each in used}
        return {
            'J&F': total['J&F'],
            **{f'{key}_{kind}': total[key][kind] for key in 'JF' for kind in total[key]},
        }

    def protocol(self) -> str:
        """What is measured, in words."""
        return (
            'Semi-supervised video object segmentation by label propagation (DINO release; arXiv '
            '2308.11448, table 2) with the settings below; J, F and J&F as the official evaluation '
            'of DAVIS-2017 takes them, without the first and the last frame, means over all '
            'objects; recall is the share above 0.5, decay the first quarter less the last.'
        )

    def pictures(self, predict: Predict) -> dict[str, np.ndarray]:
        """A sheet of some frames of each sequence, from the best to the worst."""
        per_sequence = self.numbers['per_sequence']
        order = sorted(self._sheet, key=lambda name: -per_sequence[name]['J&F'])
        number = min(_ROWS, len(order))
        order = [order[round(i * (len(order) - 1) / max(1, number - 1))] for i in range(number)]
        load = LoadImage()
        rows = {}
        for name in order:
            rows[f'{name}\nJ&F {100 * per_sequence[name]["J&F"]:.1f}'] = [
                (draw_objects(load(dict(img_path=path))['img'][..., ::-1], decode_palette(mask)), w)
                for path, mask, w in self._sheet[name]
            ]
        title = f'J&F {100 * self.numbers["J&F"]:.1f} over {self.numbers["objects"]} objects'
        return {'': contact_sheet(rows, title)}


def _measure(sample: dict) -> dict[str, Any]:
    """``scores`` float64 (2, M, T - 2) of a sequence, ``notes``, and ``shown`` frames.

    Raises:
        UnusableMasksError: If a mask cannot be read.
    """
    paths, masks = sample['mask_paths'], sample['masks']
    number = int(read_objects(paths[0]).max())
    first = np.bincount(read_objects(paths[0]).ravel(), minlength=256)
    scores = np.zeros((2, number, len(paths) - 2))
    there = np.zeros((256, len(paths) - 2), bool)
    for t, (path, mask) in enumerate(zip(paths[1:-1], masks[1:-1], strict=True)):
        truth, predicted = read_objects(path), decode_palette(mask)
        there[:, t] = np.bincount(truth.ravel(), minlength=256) > 0
        scores[0, :, t] = region_similarity(truth, predicted, number)
        for index in range(1, number + 1):
            scores[1, index - 1, t] = boundary_accuracy(truth == index, predicted == index)
    frames = sample['frame_paths']
    shown = sorted({round(i * (len(frames) - 1) / (_SHOWN - 1)) for i in range(_SHOWN)})
    words = [
        f'frame {t}: {100 * scores[:, :, t - 1].mean():.0f}' if 0 < t < len(frames) - 1 else
        f'frame {t}' for t in shown
    ]  # fmt: skip
    return dict(
        scores=scores,
        notes=_notes(first, there, number),
        shown=[(frames[t], masks[t], w) for t, w in zip(shown, words, strict=True)],
    )


def _notes(first: np.ndarray, there: np.ndarray, number: int) -> list[str]:
    """Sentences about objects that are not in all frames.

    Args:
        first (np.ndarray): int (256, ), pixels of each value in the first mask.
        there (np.ndarray): bool (256, T'), whether a scored frame has the value.
        number (int): Objects that are scored.
    """
    notes = []
    for index in range(1, 256):
        seen = np.flatnonzero(there[index])
        if index > number and len(seen):
            notes.append(
                f'object {index} first appears in frame {seen[0] + 1}, after the first mask: it is '
                'not scored'
            )
        elif index <= number and not first[index]:
            notes.append(
                f'object {index} is not in the first mask, which has a higher index: it cannot be '
                f'followed and scores 1 where it is absent, 0 in {counted(len(seen), "frame")}'
            )
        elif index <= number and len(seen) < there.shape[1]:
            gone = np.flatnonzero(~there[index])
            notes.append(
                f'object {index} is absent from {len(gone)} of {there.shape[1]} scored frames, the '
                f'first is frame {gone[0] + 1}'
            )
    return notes


def _summary(scores: np.ndarray) -> dict[str, Any]:
    """Statistics of a sequence and of each of its objects, from (2, M, T')."""
    objects = {}
    for index, (region, contour) in enumerate(zip(*scores, strict=True), 1):
        each = dict(J=sequence_statistics(region), F=sequence_statistics(contour))
        objects[str(index)] = {'J&F': (each['J']['mean'] + each['F']['mean']) / 2, **each}
    return {**_mean(list(objects.values())), 'objects': objects}


def _mean(objects: list[dict]) -> dict[str, Any]:
    """Means over objects of all their numbers."""
    both = {}
    for key in 'JF':
        kinds = objects[0][key]
        both[key] = {kind: float(np.mean([each[key][kind] for each in objects])) for kind in kinds}
    return {'J&F': (both['J']['mean'] + both['F']['mean']) / 2, **both}
