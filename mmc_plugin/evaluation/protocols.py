"""What the paper measures, as configs of this package, with the paper's figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """A number of a report.

    Attributes:
        label: What it is.
        path: Keys on the way to it in ``numbers`` of the report.
        paper: What arXiv 2308.11448 says of MMC, in the same unit; empty where it says nothing.
        scale: What the report's number is multiplied by.
    """

    label: str
    path: tuple[str, ...]
    paper: str = ''
    scale: float = 1.0

    def value(self, numbers: Mapping[str, Any]) -> float | None:
        """The number of a report; None where the report has none."""
        found: Any = numbers
        for key in self.path:
            found = found.get(key) if isinstance(found, Mapping) else None
        return None if found is None else self.scale * found


@dataclass(frozen=True)
class Protocol:
    """An evaluation that ``tools/test.py`` runs.

    Attributes:
        name: Short and unique.
        title: For people.
        config: Below ``configs/``.
        variable: Environment variable that the config reads the folder of the data from.
        default: That folder where the variable is not set.
        needs: What the folder must hold; a name with a suffix is a file.
        report: JSON file that a test leaves, as a pattern below its work directory.
        figures: Numbers of the report that are tabulated.
        options: ``--cfg-options`` that the evaluation of several protocols adds.
        shares_features: Whether the features may be kept for other protocols on the same images.
        trains: Whether it trains on the checkpoint's features before it tests.
    """

    name: str
    title: str
    config: str
    variable: str
    default: str
    report: str
    figures: tuple[Figure, ...]
    needs: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    shares_features: bool = False
    trains: bool = False


def _clicks(*paper: str) -> tuple[Figure, ...]:
    given = paper or ('',) * 4
    return tuple(
        Figure(f'mIoU at τ {key}', ('miou', key), each, 100)
        for key, each in zip(('0.1', '0.2', '0.3', '0.4'), given, strict=True)
    )


def _neighbours(cls: str = '', pat: str = '') -> tuple[Figure, ...]:
    return (
        Figure('CLS, best k', ('best', 'cls', 'accuracy'), cls),
        Figure('PAT, best k', ('best', 'pat', 'accuracy'), pat),
        Figure('Hybrid, best k', ('best', 'hybrid', 'accuracy')),
    )


def _episodes(accuracy: str = '', f1: str = '') -> tuple[Figure, ...]:
    return (
        Figure('accuracy', ('accuracy', 'mean'), accuracy, 100),
        Figure('F1 at the best threshold', ('f1', 'mean'), f1, 100),
    )


def _protocol(folder: str, name: str, title: str, root: tuple[str, str], *rest, **more) -> Protocol:
    """A protocol whose name is that of its config."""
    report = dict(knn='knn', few_shot='few_shot', retrieval='retrieval', parts='part_retrieval',
                  finetune='classification').get(folder)  # fmt: skip
    more.setdefault('report', f'*/{report}.json')
    config = f'{folder}/{name}.py'
    return Protocol(f'{folder}/{name.removeprefix("vit_")}', title, config, *root, figures=rest[0],
                    **more)  # fmt: skip


_COCO = ('COCO_ROOT', 'data/coco')
_VOC = ('VOC12_ROOT', 'data/VOCdevkit/VOC2012')
_DAVIS = ('DAVIS_ROOT', 'data/davis2017')
_FOLDER = ('DATA_ROOT', 'data/folder')
_IMAGENET = ('IMAGENET_ROOT', 'data/imagenet')
_IN100 = ('IMAGENET100_ROOT', 'data/imagenet100')
_CIFAR = ('CIFAR_ROOT', 'data/cifar')
_FLOWERS = ('FLOWERS_ROOT', 'data/flowers102')
_PETS = ('PETS_ROOT', 'data/pets')
_CARS = ('CARS_ROOT', 'data/stanford_cars')
_REVISITED = ('REVISITED_ROOT', 'data/revisited')
_PEOPLE = ('COCO_KEYPOINTS_ROOT', 'data/coco')
_CUB = ('CUB_ROOT', 'data/CUB_200_2011')
_MINI = ('MINIIMAGENET_ROOT', 'data/miniimagenet')

_CLICK = dict(report='*/prompt_iou.json')
_SHARED = dict(shares_features=True)
_TOP1 = (Figure('top-1', ('top1',)),)
_MIOU = (Figure('mIoU', ('mIoU',)),)
_TRAINED = dict(trains=True)
_NAMED = dict(trains=True, report='*/classification.json')
_SEGMENTED = dict(trains=True, report='test_*.json')
_HALVES = dict(needs=('train', 'val'))


def _retrieved(medium: str, hard: str) -> tuple[Figure, ...]:
    return (
        Figure('mAP, Medium', ('protocols', 'medium', 'map'), medium, 100),
        Figure('mAP, Hard', ('protocols', 'hard', 'map'), hard, 100),
    )


_PARTS = (
    Figure('CLS, mAP', ('kinds', 'cls', 'map'), scale=100),
    Figure('mean patch, mAP', ('kinds', 'pat', 'map'), scale=100),
    Figure('projected CLS, mAP', ('kinds', 'projected', 'map'), scale=100),
)

PROTOCOLS: tuple[Protocol, ...] = (
    _protocol('zero_shot', 'vit_coco', 'Table 1: one click, COCO', _COCO,
              _clicks('34.6', '37.6', '38.4', '37.9'), **_CLICK),
    _protocol('zero_shot', 'vit_voc', 'One click, VOC 2012', _VOC, _clicks(), **_CLICK),
    _protocol('zero_shot', 'vit_davis_frames', 'One click, frames of DAVIS-2017', _DAVIS,
              _clicks(), **_CLICK),
    _protocol('zero_shot', 'vit_coco_similarity', 'Table 5: similarity in objects, COCO', _COCO,
              (Figure('overlap', ('overlap',), '.55'), Figure('intra', ('intra',), '.48'),
               Figure('inter', ('inter',), '.38')), report='*/similarity_overlap.json'),
    _protocol('video', 'davis2017', 'Table 2: DAVIS-2017', _DAVIS,
              (Figure('(J&F)m', ('J&F',), '60.3 (ViT-S IN100), 63.8 (ViT-B IN1K)', 100),
               Figure('Jm', ('J', 'mean'), '58.6, 61.8', 100),
               Figure('Fm', ('F', 'mean'), '62.0, 65.6', 100)), report='*/video_scores.json'),
    _protocol('knn', 'vit_in100', 'Table 4, 11: k-NN, ImageNet-100', _IN100,
              _neighbours('77.54 (Table 4), 89.94 (Table 11)', '76.96 (Table 4), 90.04 (Table 11)'),
              **_SHARED, **_HALVES),
    _protocol('knn', 'vit_imagenet', 'k-NN, ImageNet-1K', _IMAGENET, _neighbours(), **_SHARED,
              **_HALVES),
    _protocol('knn', 'vit_pets', 'Table 6: k-NN, Pets', _PETS, _neighbours(), **_SHARED),
    _protocol('knn', 'vit_flowers', 'Table 6: k-NN, Flowers', _FLOWERS, _neighbours(), **_SHARED),
    _protocol('knn', 'vit_cifar10', 'Table 6: k-NN, CIFAR-10', _CIFAR, _neighbours(), **_SHARED),
    _protocol('knn', 'vit_cifar100', 'k-NN, CIFAR-100', _CIFAR, _neighbours(), **_SHARED),
    _protocol('knn', 'vit_folder', 'k-NN, a folder', _FOLDER, _neighbours(), **_SHARED, **_HALVES),
    _protocol('few_shot', 'vit_miniimagenet', 'Table 8: few-shot, miniImageNet', _MINI,
              _episodes('73.3', '62.3'), **_SHARED),
    _protocol('few_shot', 'vit_cifar10', 'Table 8: few-shot, CIFAR-10', _CIFAR,
              _episodes('47.4', '42.9'), **_SHARED),
    _protocol('few_shot', 'vit_pets', 'Table 8: few-shot, Pets', _PETS,
              _episodes('69.7', '62.1'), **_SHARED),
    _protocol('few_shot', 'vit_folder', 'Few-shot, a folder', _FOLDER, _episodes(), **_SHARED,
              needs=('val',)),
    _protocol('retrieval', 'vit_roxford5k', 'Table 9: retrieval, revisited Oxford', _REVISITED,
              _retrieved('26.1', '8.9'), **_SHARED, needs=('roxford5k',)),
    _protocol('retrieval', 'vit_rparis6k', 'Table 9: retrieval, revisited Paris', _REVISITED,
              _retrieved('53.4', '28.6'), **_SHARED, needs=('rparis6k',)),
    _protocol('retrieval', 'vit_folder', 'Retrieval, a folder', _FOLDER,
              (Figure('mAP', ('protocols', 'classes', 'map'), scale=100),), **_SHARED, **_HALVES),
    _protocol('parts', 'vit_coco_parts', 'Part retrieval, people in COCO',
              _PEOPLE, _PARTS, **_SHARED,
              needs=('annotations/person_keypoints_train2017.json', 'train2017')),
    _protocol('parts', 'vit_cub_parts', 'Part retrieval, birds in CUB-200-2011', _CUB, _PARTS,
              **_SHARED),
    *(_protocol('parts', f'vit_coco_{probe}', f'Part classification, {probe}, people in COCO',
                _PEOPLE, _TOP1, **_NAMED,
                needs=('annotations/person_keypoints_val2017.json', 'train2017', 'val2017'))
      for probe in ('linear', 'attentive')),
    *(_protocol('parts', f'vit_cub_{probe}', f'Part classification, {probe}, birds in CUB-200-2011',
                _CUB, _TOP1, **_NAMED) for probe in ('linear', 'attentive')),
    _protocol('variance', 'vit_folder', 'Table 10: variance, 100 images of a folder',
              ('DATA_ROOT', 'data/images'),
              (Figure('image', ('image', 'mean'), '.19'),
               Figure('patch', ('patch', 'mean'), '.32')),
              report='*/feature_variance.json',
              options=('test_dataloader.dataset.sets.test.max_images=100',)),
    _protocol('segmentation', 'vits_ade20k_linear_40k', 'Table 3: linear segmentation, ADE20K',
              ('ADE20K_ROOT', 'data/ade/ADEChallengeData2016'),
              (Figure('mIoU', ('mIoU',), '37.0'),), **_SEGMENTED),
    _protocol('segmentation', 'vits_cityscapes_linear_40k',
              'Table 3: linear segmentation, Cityscapes', ('CITYSCAPES_ROOT', 'data/cityscapes'),
              (Figure('mIoU', ('mIoU',), '62.6'),), **_SEGMENTED),
    _protocol('segmentation', 'vits_voc12aug_linear_40k', 'Table 3: linear segmentation, VOC12-aug',
              _VOC, (Figure('mIoU', ('mIoU',), '77.7'),), **_SEGMENTED,
              needs=('SegmentationClassAug',)),
    _protocol('segmentation', 'vits_camvid_linear', 'Linear segmentation, CamVid',
              ('CAMVID_ROOT', 'data/camvid'), _MIOU, **_SEGMENTED),
    _protocol('part_segmentation', 'vits_ade20k', "Linear segmentation, ADE20K, the study's recipe",
              ('ADE20K_ROOT', 'data/ade/ADEChallengeData2016'), _MIOU, **_SEGMENTED),
    _protocol('part_segmentation', 'vits_ade20k_object', 'Linear segmentation, ADE20K-Object',
              ('ADE20K_ROOT', 'data/ade/ADEChallengeData2016'), _MIOU, **_SEGMENTED),
    _protocol('part_segmentation', 'vits_pascal_object', 'Linear segmentation, Pascal-Object', _VOC,
              _MIOU, **_SEGMENTED),
    _protocol('part_segmentation', 'vits_ade20k_part', 'Linear segmentation, ADE20K-Part',
              ('ADE20K_PART_ROOT', 'data/ade20k_part'), _MIOU, **_SEGMENTED),
    _protocol('part_segmentation', 'vits_pascal_part', 'Linear segmentation, Pascal-Part',
              ('PASCAL_PART_ROOT', 'data/pascal_part'), _MIOU, **_SEGMENTED),
    _protocol('part_segmentation', 'vits_lip', 'Linear segmentation, LIP', ('LIP_ROOT', 'data/LIP'),
              _MIOU, **_SEGMENTED),
    _protocol('finetune', 'vit_in100', 'Table 4: finetuning, ImageNet-100', _IN100,
              (Figure('top-1', ('top1',), '91.02'),), **_TRAINED, **_HALVES),
    _protocol('finetune', 'vit_imagenet', 'Table 7: finetuning, ImageNet-1K', _IMAGENET, _TOP1,
              **_TRAINED, **_HALVES),
    _protocol('finetune', 'vit_imagenet_linear', 'Linear probe, ImageNet-1K', _IMAGENET, _TOP1,
              **_TRAINED, **_HALVES),
    _protocol('finetune', 'vit_imagenet_attentive', 'Attentive probe, ImageNet-1K', _IMAGENET,
              _TOP1, **_TRAINED, **_HALVES),
    _protocol('finetune', 'vit_cub_linear', 'Linear probe, species of CUB-200-2011', _CUB, _TOP1,
              **_TRAINED),
    _protocol('finetune', 'vit_cifar10', 'Table 7: finetuning, CIFAR-10', _CIFAR, _TOP1,
              **_TRAINED),
    _protocol('finetune', 'vit_cifar100', 'Table 7: finetuning, CIFAR-100', _CIFAR, _TOP1,
              **_TRAINED),
    _protocol('finetune', 'vit_flowers', 'Table 7: finetuning, Flowers', _FLOWERS, _TOP1,
              **_TRAINED),
    _protocol('finetune', 'vit_pets', 'Table 7: finetuning, Pets', _PETS, _TOP1, **_TRAINED),
    _protocol('finetune', 'vit_cars', 'Table 7: finetuning, Cars', _CARS, _TOP1, **_TRAINED),
)  # fmt: skip
