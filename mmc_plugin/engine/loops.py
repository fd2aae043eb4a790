"""Trainings that go on in the middle of an epoch, and whose length fits a time."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from typing import Any

import torch
from mmengine.dist import broadcast_object_list, get_world_size
from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmpretrain.registry import LOOPS

from ..errors import InputError
from ..wording import counted
from .schedule import check_plannable, replan

SKIPPED, TIMED = 3, 7  # first iterations, which are slower; those that the first plan rests on
LATE, EARLY = 1.05, 0.9  # of the limit: an end expected between them changes nothing


# In the message hub and so in checkpoints: samples of all processes, time of the training.
SAMPLES_DONE, SECONDS_DONE = 'samples_of_epoch', 'seconds_trained'


@LOOPS.register_module()
class ResumableTrainLoop(EpochBasedTrainLoop):
    """mmengine's loop by epochs, which goes on in the middle of one where it was stopped there.

    The host begins such an epoch anew. Here the samples that were trained on are passed over,
    without being read, whatever the number of processes was, if the sampler knows how
    (:class:`SeededSampler`, :class:`FixedLengthSampler`). Otherwise it is the host's, to the bit.

    Args: as :class:`EpochBasedTrainLoop`.
    """

    def run_epoch(self) -> None:
        """Train an epoch, or what is left of it."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        hub = self.runner.message_hub
        done = hub.runtime_info.get(SAMPLES_DONE, 0)
        first = self._pass_over(done) if done else 0
        done = done if first else 0
        batch = self.dataloader.batch_size * get_world_size()
        for idx, data_batch in enumerate(self.dataloader, first):
            # Before the iteration, whose hooks may save; it counts as done then.
            hub.update_info(SAMPLES_DONE, done + (idx + 1 - first) * batch)
            self.run_iter(idx, data_batch)
        hub.update_info(SAMPLES_DONE, 0)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def _pass_over(self, done: int) -> int:
        """Let the sampler leave out so many samples; the batch of the epoch that comes first."""
        sampler = self.dataloader.sampler
        if not hasattr(sampler, 'pass_over'):
            print_log(
                f'The checkpoint is of the middle of an epoch, which {type(sampler).__name__} '
                'begins anew: some images are seen once more. Set train_dataloader.sampler.type '
                'to SeededSampler to go on exactly.',
                'current',
                logging.WARNING,
            )
            return 0
        left = sampler.pass_over(done)
        size, whole = self.dataloader.batch_size, self.dataloader.drop_last
        return len(self.dataloader) - (left // size if whole else -(-left // size))


@LOOPS.register_module()
class TimeLimitedTrainLoop(ResumableTrainLoop):
    """mmengine's loop by epochs, with as many of them as fit into a time, and at least one.

    The first iterations are timed, then the epochs. Where the run would end more than 5 % after
    the limit it gets shorter; where one that got shorter would end more than 10 % before it gets
    longer, up to ``most_epochs``. The schedule of the learning rate follows each time
    (:func:`replan`), so that every run ends with its annealing, and so does the teacher's momentum
    (:class:`MomentumTeacherHook`, by ``shortening``). A run that is fast enough for
    ``max_epochs`` is that of the parent class, to the bit. What hooks do before the first
    iteration counts, what they do after the last does not. A run that is resumed has what is left
    of its time.

    Args:
        runner (Runner): Of mmengine.
        dataloader (DataLoader | dict): Of the training.
        max_epochs (int): Those that schedule and momentum are meant for.
        seconds (float): Time that the training may take.
        most_epochs (int, optional): The most epochs. Defaults to ``max_epochs``.
        **kwargs: Of :class:`EpochBasedTrainLoop`.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: Any,
        max_epochs: int,
        seconds: float,
        most_epochs: int | None = None,
        **kwargs: Any,
    ) -> None:
        if not 0 < seconds < math.inf:
            raise InputError(
                f'TimeLimitedTrainLoop: seconds must be positive and finite, got {seconds}.'
            )
        super().__init__(runner, dataloader, max_epochs, **kwargs)
        self.seconds = seconds
        self._meant = self._max_epochs
        self._most_epochs = self._meant if most_epochs is None else most_epochs

    @property
    def shortening(self) -> float:
        """How many times fewer epochs there are than the schedule is meant for."""
        return max(1, self._meant / self._max_epochs)

    def run(self) -> torch.nn.Module:
        """Train.

        Raises:
            ValueError: If there are schedulers whose length cannot be changed.
        """
        check_plannable(self.runner)
        now, self._first = _now(), self._iter
        self._started = now - self.runner.message_hub.runtime_info.get(SECONDS_DONE, 0)
        # Times and iterations at them; the rate is the mean since the oldest of the four.
        self._marks = deque([(now, self._iter)], maxlen=4)
        return super().run()

    def run_epoch(self) -> None:
        """Fit the length to what the epochs before took, and train one."""
        if self._iter > self._marks[0][1]:
            self._fit(self._epoch)
            self._marks.append((_now(), self._iter))
        super().run_epoch()

    def run_iter(self, idx: int, data_batch: Any) -> None:
        """Train an iteration; fit the length after the first ones."""
        # Before it, as its hooks may save; no wait for the device.
        spent = time.monotonic() - self._started
        self.runner.message_hub.update_info(SECONDS_DONE, spent)
        super().run_iter(idx, data_batch)
        length, done = len(self.dataloader), self._iter - self._first
        if done == min(SKIPPED, length - 1):
            self._marks.clear()
            self._marks.append((_now(), self._iter))
        elif done == min(SKIPPED + TIMED, length):
            self._fit(self._epoch + (idx + 1) / length)

    def _fit(self, done: float) -> None:
        """Change the length after so many epochs if the run would end too late or too early."""
        now, (since, first) = _now(), self._marks[0]
        an_epoch = (now - since) / (self._iter - first) * len(self.dataloader)
        passed = now - self._started
        fitting = int(done + (self.seconds - passed) / an_epoch)
        fitting = min(max(fitting, self._epoch + 1), self._most_epochs)
        ends = passed + (self._max_epochs - done) * an_epoch
        late = fitting < self._max_epochs and ends > LATE * self.seconds
        early = fitting > self._max_epochs and ends < EARLY * self.seconds
        chosen = [fitting if late or early else self._max_epochs]
        broadcast_object_list(chosen)  # the clock of the first process holds for all
        if chosen[0] != self._max_epochs:
            self._set_length(chosen[0], an_epoch)

    def _set_length(self, epochs: int, an_epoch: float) -> None:
        runner = self.runner
        self._max_epochs, self._max_iters = epochs, epochs * len(self.dataloader)
        # What was told the length at the start.
        runner.message_hub.update_info('max_epochs', self._max_epochs)
        runner.message_hub.update_info('max_iters', self._max_iters)
        runner.optim_wrapper.initialize_count_status(runner.model, self._iter, self._max_iters)
        before, after = replan(runner)
        fit = f'{epochs} of at most {counted(self._most_epochs, "epoch")} fit'
        if epochs == 1 and an_epoch > self.seconds:
            fit = 'Not even one epoch fits'
        runner.logger.info(
            f'{fit} into {self.seconds:g} s, at {an_epoch:.3g} s each: the schedule has the length '
            f'of {counted(epochs, "epoch")} from here on, learning rate {before:.3g} → {after:.3g}.'
        )


def _now() -> float:
    """Seconds, when all that was started on the device is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.monotonic()
