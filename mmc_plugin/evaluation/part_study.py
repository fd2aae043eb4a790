"""Parts vs. objects: the protocols of arXiv 2301.11915 and its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..visualization.number_table import cell

# Off the shelf, ViT-B/16.
METHODS = ('DeiT', 'MoCo v3', 'DINO', 'BEiT', 'MAE', 'CAE', 'iBOT')


@dataclass(frozen=True)
class StudyRow:
    """A number of the study.

    Attributes:
        about: ``'parts'`` or ``'objects'``.
        protocol: Name of the :class:`Protocol` that measures it.
        label: Of its :class:`Figure`.
        study: For each of :data:`METHODS` what the study's ICLR version reports, in the same unit;
            None, or empty, where it reports nothing.
    """

    about: str
    protocol: str
    label: str
    study: tuple[float | None, ...] = ()


# The study does not say whether its "encoded" is the class token or the mean patch.
_CUB = 35.0, 50.8, 48.9, 27.9, 28.5, 58.0, 49.3
_COCO = 44.1, 52.3, 51.8, 35.3, 37.1, 57.0, 59.2
STUDY = (
    StudyRow('parts', 'parts/cub_parts', 'CLS, mAP', _CUB),
    StudyRow('parts', 'parts/cub_parts', 'mean patch, mAP', _CUB),
    StudyRow('parts', 'parts/cub_parts', 'projected CLS, mAP',
             (None, 28.4, 31.7, None, None, None, 31.2)),
    StudyRow('parts', 'parts/coco_parts', 'CLS, mAP', _COCO),
    StudyRow('parts', 'parts/coco_parts', 'mean patch, mAP', _COCO),
    StudyRow('parts', 'parts/coco_parts', 'projected CLS, mAP',
             (None, 36.8, 41.2, None, None, None, 41.5)),
    StudyRow('parts', 'parts/cub_linear', 'top-1', (90.9, 93.8, 93.2, 55.4, 86.9, 89.5, 93.8)),
    StudyRow('parts', 'parts/cub_attentive', 'top-1', (92.9, 96.0, 95.2, 86.5, 92.8, 95.8, 95.8)),
    StudyRow('parts', 'parts/coco_linear', 'top-1', (88.5, 92.4, 91.7, 69.3, 88.0, 91.1, 92.1)),
    StudyRow('parts', 'parts/coco_attentive', 'top-1', (91.4, 95.3, 94.5, 86.5, 93.9, 95.5, 95.1)),
    StudyRow('parts', 'part_segmentation/vits_ade20k_part', 'mIoU',
             (27.3, 27.1, 28.9, 18.6, 26.3, 28.4, 32.2)),
    StudyRow('parts', 'part_segmentation/vits_pascal_part', 'mIoU',
             (27.4, 27.1, 27.8, 14.8, 24.3, 27.8, 30.7)),
    StudyRow('parts', 'part_segmentation/vits_lip', 'mIoU',
             (41.4, 41.9, 41.0, 27.2, 38.2, 43.7, 44.6)),
    StudyRow('objects', 'finetune/imagenet_linear', 'top-1',
             (81.8, 76.2, 77.3, 41.8, 67.8, 70.4, 79.5)),
    StudyRow('objects', 'finetune/imagenet_attentive', 'top-1',
             (81.8, 77.0, 77.8, 51.9, 74.2, 77.1, 79.8)),
    StudyRow('objects', 'finetune/cub_linear', 'top-1'),
    StudyRow('objects', 'part_segmentation/vits_ade20k', 'mIoU',
             (34.9, 34.7, 34.5, 17.8, 27.1, 32.6, 38.3)),
    StudyRow('objects', 'part_segmentation/vits_ade20k_object', 'mIoU'),
    StudyRow('objects', 'part_segmentation/vits_pascal_object', 'mIoU'),
)  # fmt: skip


def parts_vs_objects(
    numbers: Mapping[tuple[str, str], Mapping[str, float | None]],
    checkpoints: Sequence[str],
    titles: Mapping[str, str],
) -> tuple[list[str], list[list[str]]]:
    """The study's table with the numbers of checkpoints before its own.

    Args:
        numbers (Mapping): (name of a protocol, checkpoint) → label → number.
        checkpoints (Sequence[str]): Their names, in the order of the columns.
        titles (Mapping[str, str]): Name of a protocol → what it is called.

    Returns:
        tuple[list[str], list[list[str]]]: Header and rows, with a dash for what is not known.
    """
    header = ['', 'measured', *checkpoints, *(f'{each} [study]' for each in METHODS)]
    rows = []
    for row in STUDY:
        own = [cell(numbers.get((row.protocol, name), {}).get(row.label)) for name in checkpoints]
        told = row.study or (None,) * len(METHODS)
        study = ['–' if each is None else f'{each:.1f}' for each in told]
        rows.append([row.about, f'{titles[row.protocol]}: {row.label}', *own, *study])
    return header, rows
