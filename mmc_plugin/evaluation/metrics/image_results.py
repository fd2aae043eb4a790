"""What metrics over images that may be unusable share."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.logging import print_log

from ...errors import RunError
from ...structures.image_frame import ImageFrame
from ...wording import counted
from .reported import ReportedMetric


class ImageResults(ReportedMetric):
    """One result for each image, whether it could be used or not, and each image once.

    A subclass gives :meth:`measure`, :meth:`summarise` and :meth:`scalars`. ``skipped`` images and
    targets left out are counted in the numbers.
    """

    def measure(self, sample: dict, frame: ImageFrame) -> dict[str, Any]:
        """Measure one image.

        Args:
            sample (dict): ``tokens`` (h, w, D), ``masks`` bool (M, H, W), ``ignore`` bool (H, W),
                ``labels`` int64 (M, ), ``pixels`` uint8 RGB (3, height, width), the image, if
                the batch has it, and what else its pipeline packed.
            frame (ImageFrame): How the H × W pixels of the masks lie on the network's canvas.

        Returns:
            dict: CPU arrays and plain values.
        """
        raise NotImplementedError

    def summarise(self, results: Sequence[dict]) -> dict[str, Any]:
        """Numbers of all images that were measured, in the order of the data set.

        Args:
            results (Sequence[dict]): Of :meth:`measure`, with ``sample_idx`` and ``img_path``.
        """
        raise NotImplementedError

    def scalars(self) -> dict[str, float]:
        """The few of the numbers that are printed."""
        raise NotImplementedError

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Measure the images of a batch."""
        inputs = data_batch.get('inputs') or [None] * len(data_samples)
        for pixels, sample in zip(inputs, data_samples, strict=True):
            result = dict(
                sample_idx=sample['sample_idx'],
                img_path=sample['img_path'],
                skipped=sample['skipped'],
                left_out=sample['left_out'],
            )
            if result['skipped'] is None and not sample['tokens'].isfinite().all():
                result['skipped'] = sample['img_path'], 'its features are not finite'
            if result['skipped'] is None:
                frame = ImageFrame(*sample['masks'].shape[1:], sample['canvas'], sample['fit'])
                with torch.no_grad():
                    result.update(self.measure(dict(sample, pixels=pixels), frame))
            self.results.append(result)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Sum up; set :attr:`numbers`.

        Raises:
            RuntimeError: If no image could be used.
        """
        # Samplers repeat images to give each process as many.
        once = sorted(
            {each['sample_idx']: each for each in results}.values(),
            key=lambda each: each['sample_idx'],
        )
        skipped = [each['skipped'] for each in once if each['skipped'] is not None]
        used = [each for each in once if each['skipped'] is None]
        left_out = [(each['img_path'], words) for each in used for words in each['left_out']]
        for what, found in (('image', skipped), ('target', left_out)):
            if found:
                path, words = found[0]
                print_log(
                    f'Left out {counted(len(found), what)}, the first: {path}: {words}',
                    logger='current',
                    level=logging.WARNING,
                )
        if not used:
            path, words = skipped[0]
            raise RunError(
                f'None of the images could be used ({len(once)} in all); the first is '
                f'{path!r}: {words}.'
            )
        self.numbers = dict(
            images=len(used),
            skipped_images=[list(each) for each in skipped],
            left_out_targets=[list(each) for each in left_out],
            **self.summarise(used),
        )
        return self.scalars()
