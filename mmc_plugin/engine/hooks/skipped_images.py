"""A report of the images that a training could not use."""

import json
import os
from collections.abc import Iterable, Mapping

from mmengine.dist import all_gather_object, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

from ...durable import write_durably
from ...wording import counted

_NAMED = 3  # files named in a log line


@HOOKS.register_module()
class SkippedImagesHook(Hook):
    """Collect what was left out and why, and say it.

    ``work_dir/skipped_images.json`` maps the path of each file to the reason: what the scan of the
    folder left out (``scan_report`` of the dataset) and what training met (``skipped`` of the data
    samples). It is written at the start and after each epoch with new ones, through a temporary
    name. A resumed run adds to the file.
    """

    priority = 'LOW'

    def __init__(self) -> None:
        self.skipped: dict[str, str] = {}
        self._new: dict[str, str] = {}

    def before_train(self, runner: Runner) -> None:
        """Take over the file of the run that is resumed, and add what the scan left out."""
        self._file = os.path.join(runner.work_dir, 'skipped_images.json')
        self.skipped = self._earlier(runner) if runner.iter > 0 else {}
        self._new = {}
        scan = getattr(runner.train_dataloader.dataset, 'scan_report', None)
        if scan is not None:
            self.skipped.update(scan['left_out'])
            others, left_out = scan['other_files'], scan['left_out']
            told = [counted(scan['images'], 'image')]
            told += [counted(others, 'other file')] if others else []
            told += [f'{len(left_out)} left out{_some(left_out)}'] if left_out else []
            runner.logger.info(f'Folder scan: {", ".join(told)}.')
        self._write(runner)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Note the unreadable files of a batch."""
        for sample in (data_batch or {}).get('data_samples', ()):
            for path, reason in sample.metainfo.get('skipped', ()):
                if path not in self.skipped:
                    self._new[path] = reason

    def after_train_epoch(self, runner: Runner) -> None:
        """Gather from all processes, write the file and say what is new."""
        new = {}
        for part in all_gather_object(self._new):
            new.update(part)
        self._new = {}
        if new:
            self.skipped.update(new)
            self._write(runner)
            runner.logger.warning(
                f'Replaced {counted(len(new), "unreadable image")}, met for the first time, by '
                f'others{_some(new)}; all so far ({len(self.skipped)}) are in {self._file}.'
            )

    def after_train(self, runner: Runner) -> None:
        """Say the total."""
        if self.skipped:
            runner.logger.warning(
                f'{counted(len(self.skipped), "file")} could not be used in this '
                f'training{_some(self.skipped)}; {self._file} lists all of them.'
            )

    def _earlier(self, runner: Runner) -> dict[str, str]:
        try:
            with open(self._file, encoding='utf-8') as file:
                return json.load(file)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            runner.logger.warning(f'{self._file} cannot be read and is begun anew: {error}.')
            return {}

    def _write(self, runner: Runner) -> None:
        """Write the file; a training does not end for want of its report."""
        if not is_main_process():
            return
        text = json.dumps(dict(sorted(self.skipped.items())), ensure_ascii=False, indent=1)
        try:
            # File names that are not UTF-8 arrive as lone surrogates; so escaped they are JSON.
            write_durably(self._file, text.encode('utf-8', errors='backslashreplace'))
        except OSError as error:
            runner.logger.warning(f'{self._file} could not be written ({error.strerror}).')


def _some(skipped: Mapping[str, str], named: int = _NAMED) -> str:
    """': path (reason), path (reason) and 5 more', empty for nothing."""
    if not skipped:
        return ''
    first: Iterable[str] = sorted(skipped)[:named]
    # repr, so that a name with odd characters cannot break a log line.
    text = ', '.join(f'{path!r} ({skipped[path]})' for path in first)
    more = f' and {len(skipped) - named} more' if len(skipped) > named else ''
    return f': {text}{more}'
