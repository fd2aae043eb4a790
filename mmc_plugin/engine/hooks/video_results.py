"""What a test on videos leaves on the disk: masks, and videos to look at."""

from __future__ import annotations

import os

from mmengine.hooks import Hook
from mmpretrain.registry import HOOKS

from ...datasets.davis import VideoClip
from ...durable import write_durably
from ...structures.palette import decode_palette
from ...visualization.video import draw_objects, write_video


@HOOKS.register_module()
class VideoResultsHook(Hook):
    """Write the masks of each sequence, and a video of them over its frames, beside a test's log.

    ``masks/<sequence>/<frame>.png`` is what the official evaluation of DAVIS-2017 reads;
    ``overlays/<sequence>.mp4`` is to look at.
    """

    def after_test_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Write what a batch of sequences gave."""
        for clip, sample in zip(data_batch['inputs'], outputs, strict=True):
            if sample.skipped is not None:
                continue
            folder = os.path.join(runner.log_dir, 'masks', sample.sequence)
            os.makedirs(folder, exist_ok=True)
            for path, mask in zip(clip.frames, sample.masks, strict=True):
                name = os.path.splitext(os.path.basename(path))[0]
                write_durably(os.path.join(folder, f'{name}.png'), mask)
            video = os.path.join(runner.log_dir, 'overlays', f'{sample.sequence}.mp4')
            write_video(video, _overlaid(clip, sample.masks))


def _overlaid(clip: VideoClip, masks: list[bytes]):
    for frame, mask in zip(clip, masks, strict=True):
        yield draw_objects(frame, decode_palette(mask))
