"""mmdetection's COCO, with sentences for files that do not fit."""

from __future__ import annotations

import os.path as osp

from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS

from ..errors import InputError


@DATASETS.register_module()
class CheckedCocoDataset(CocoDataset):
    """mmdet's ``CocoDataset`` that refuses annotations which do not fit its classes or images.

    mmdet leaves out annotations of categories that ``metainfo['classes']`` does not name, and
    counts the labels of those it finds without a gap: with a class missing, or in another spelling,
    all later ones get the label of their neighbour.

    Args:
        **kwargs: Of ``CocoDataset``.

    Raises:
        FileNotFoundError: If the annotations or the first image are missing.
        ValueError: If a class is no category of the annotations, or there is no image.
    """

    def load_data_list(self) -> list[dict]:
        """Read the annotations; see ``CocoDataset``."""
        if not osp.exists(self.ann_file):
            raise FileNotFoundError(
                f'there are no annotations at {self.ann_file}: set data_root (COCO_ROOT in the '
                'configs of mmc_plugin) and ann_file of the dataset'
            )
        samples = super().load_data_list()
        classes = self.metainfo['classes']
        if len(self.cat_ids) != len(classes):
            known = {each['name'] for each in self._categories()}
            missing = [name for name in classes if name not in known]
            raise InputError(
                f'{self.ann_file} has {len(known)} categories, among which '
                f'{", ".join(missing[:5])}{", …" if len(missing) > 5 else ""} '
                f'of the {len(classes)} classes are not: set '
                'metainfo=dict(classes=(…)) of the dataset, and num_classes of the heads, or name '
                'the right ann_file'
            )
        if not samples:
            raise InputError(f'{self.ann_file} has no image')
        if not osp.exists(samples[0]['img_path']):
            raise FileNotFoundError(
                f'the image {samples[0]["img_path"]} of {self.ann_file} is missing: set '
                'data_prefix of the dataset to the folder of the images'
            )
        return samples

    def _categories(self) -> list[dict]:
        api = self.COCOAPI(self.ann_file)
        return api.loadCats(api.getCatIds())
