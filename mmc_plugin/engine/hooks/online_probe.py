"""A linear classifier of the teacher's features that learns beside a training."""

from __future__ import annotations

import os

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS
from torch import Tensor, nn

from mmc_plugin.datasets.image_files import ImageFiles, scan_labelled
from mmc_plugin.evaluation.feature_bank import extract
from mmc_plugin.evaluation.image_batches import ImageBatches
from mmc_plugin.models.heads.linear_probe import KINDS, LinearProbe
from mmc_plugin.models.selfsup import PretrainingMethod

from ...errors import InputError
from .model_access import undisturbed, unwrap

# Training images whose folders are compared with the classes before the training.
_LOOKED_AT = 1000


@HOOKS.register_module()
class OnlineProbeHook(Hook):
    """Trains a linear probe on what the teacher makes of the training's own views.

    The teacher's tokens of the clean views are caught as they pass by, so that no forward pass is
    added. The class token (``cls``) and the mean of the patch tokens (``pat``) have a layer each,
    with an optimiser of their own. Nothing of this has a part in the training: no gradient, no
    random number; losses are the same with and without the hook, to the bit.

    The class of a training image is the first folder of its path below ``data_root``; images in
    folders that ``val_dir`` has not are left out of the probe. Every ``interval`` epochs the
    images of ``val_dir`` are classified; ``probe/teacher_cls`` and ``probe/teacher_pat`` (top-1,
    %) go to the log, the visualizer and the message hub. Checkpoints hold the probe, so that a
    resumed run goes on with it.

    Args:
        val_dir (str): Folder of labelled images, one folder per class.
        interval (int): Epochs between two evaluations. Defaults to 10.
        lr (float): Learning rate of SGD with momentum 0.9, for total batches of 256
            images, in proportion for others. Defaults to 0.1 [MAE release].
        resize (int): As in :class:`FeatureMonitorHook`. Defaults to 256.
        crop (int): Likewise. Defaults to 224.
        batch_size (int): Likewise. Defaults to 128.
        num_workers (int): Likewise. Defaults to 2.

    Raises:
        ValueError: If the method has no momentum teacher, or no training image is of a class.
    """

    def __init__(
        self,
        val_dir: str,
        interval: int = 10,
        lr: float = 0.1,
        resize: int = 256,
        crop: int = 224,
        batch_size: int = 128,
        num_workers: int = 2,
    ) -> None:
        if interval < 1 or lr <= 0:
            raise InputError(
                f'OnlineProbeHook needs interval from 1 and lr above 0, got {interval} and {lr}.'
            )
        self.val_dir, self.interval, self.lr = val_dir, interval, lr
        self.resize, self.crop = resize, crop
        self.batch_size, self.num_workers = batch_size, num_workers
        self._saved: dict | None = None

    def before_train(self, runner: Runner) -> None:
        """Find the classes; stand where the teacher's tokens come out."""
        model = unwrap(runner.model)
        if model.momentum_at(0, 1) is None:
            raise InputError(
                f'OnlineProbeHook looks at what a teacher of this package makes of the clean '
                f'views, and {type(model).__name__} has none that MomentumTeacherHook moves: leave '
                'it out of default_hooks'
            )
        paths, labels, classes = scan_labelled(os.path.expanduser(self.val_dir))
        dataset, images = runner.train_dataloader.dataset, runner.train_dataloader.batch_size
        self.attach(model, classes, dataset.data_root, images * get_world_size())
        self._check_folders(dataset)
        files = ImageFiles(paths, self.resize, self.crop)
        self._images = ImageBatches(files, self.batch_size, self.num_workers)
        self._labels = torch.tensor(labels)
        if self._saved is not None:
            self._restore()

    def attach(self, model: PretrainingMethod, classes: list[str], root: str, images: int) -> None:
        """Make the probe of a model and catch its teacher's tokens.

        Args:
            model (PretrainingMethod): Not wrapped.
            classes (list[str]): Names of the class folders.
            root (str): Folder that they lie in, of the training images.
            images (int): Of a batch, over all processes.
        """
        self.classes, self._root = classes, os.path.join(root, '')
        self._number = {name: number for number, name in enumerate(classes)}
        device = next(model.parameters()).device
        teacher = model.network('teacher')
        self.probe = LinearProbe(teacher.embed_dims, len(classes)).to(device)
        lr = self.lr * images / 256
        self.optimizer = torch.optim.SGD(self.probe.parameters(), lr=lr, momentum=0.9)
        self._extra = teacher.num_extra_tokens
        self._caught: Tensor | None = None
        teacher.register_forward_hook(self._catch)

    def _check_folders(self, dataset) -> None:
        """Look for a training image whose folder is a class."""
        number = min(len(dataset), _LOOKED_AT)
        index = [i * len(dataset) // number for i in range(number)]
        if not any(self._label(dataset.get_data_info(i)['img_path']) >= 0 for i in index):
            raise InputError(
                f'OnlineProbeHook: none of {number} training images in {self._root!r} lies in a '
                f'folder of a class of {self.val_dir!r} ({", ".join(self.classes[:3])} …)'
            )

    def _label(self, path: str) -> int:
        """Number of the class of a training image, -1 if it has none."""
        folder = path.removeprefix(self._root).split('/', 1)[0]
        return self._number.get(folder, -1)

    @torch.compiler.disable
    def _catch(self, module: nn.Module, args: tuple, out: tuple[Tensor, ...]) -> None:
        if module.training and self._caught is None:  # an evaluation's are not the batch's
            self._caught = out[-1].detach()

    def after_train_iter(self, runner: Runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Learn from the batch."""
        tokens, self._caught = self._caught, None
        if tokens is None:
            raise InputError(
                'OnlineProbeHook: the teacher does not run in this training (all losses that need '
                'it have the weight 0), so there is nothing to learn from: leave the hook out'
            )
        labels = torch.tensor([self._label(each.img_path) for each in data_batch['data_samples']])
        known = labels.ge(0).repeat(len(tokens) // len(labels))  # (V*B, ), a view after the other
        labels = labels.repeat(len(tokens) // len(labels))
        if not known.all():
            tokens, labels = tokens[known.to(tokens.device)], labels[known]
        self._learn(tokens, labels.to(tokens.device, non_blocking=True))

    @torch.enable_grad()
    def _learn(self, tokens: Tensor, labels: Tensor) -> None:
        """A step of all processes together on tokens (N, 1 + P, D) and labels (N, )."""
        patches = tokens[:, self._extra :]
        features = dict(cls=tokens[:, 0].float(), pat=patches.float().mean(1))
        self.optimizer.zero_grad(set_to_none=False)
        if len(labels) > 1:  # batch norm needs two
            self.probe.train()
            loss = sum(F.cross_entropy(self.probe(k, x), labels) for k, x in features.items())
            loss.backward()
        for parameter in self.probe.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            all_reduce(parameter.grad, 'mean')
        self.optimizer.step()

    def after_train_epoch(self, runner: Runner) -> None:
        """Evaluate every ``interval`` epochs and after the last."""
        if not (self.every_n_epochs(runner, self.interval) or self.is_last_train_epoch(runner)):
            return
        model = unwrap(runner.model)

        def encode(images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
            cls, patches = model.extract_feat(model.data_preprocessor.normalise(images), 'teacher')
            return [cls], [patches]

        with undisturbed(model):
            bank = extract(dict(teacher=encode), self._images, self._labels)['teacher']
            if not is_main_process():
                return
            self.probe.eval()
            scalars = {}
            for kind in KINDS:
                found = self.probe(kind, bank.features(kind)).argmax(1).cpu()
                right = (found == bank.labels.cpu()).float().mean()
                scalars[f'probe/teacher_{kind}'] = 100 * float(right)
        for key, value in scalars.items():
            runner.message_hub.update_scalar(key, value)
        runner.visualizer.add_scalars(dict(scalars, epoch=runner.epoch + 1), step=runner.iter)
        words = '  '.join(f'{key}: {value:.2f}' for key, value in scalars.items())
        runner.logger.info(f'Linear probe after epoch {runner.epoch + 1}  {words}')

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Put the probe beside the model."""
        checkpoint['online_probe'] = dict(
            classes=self.classes,
            probe={name: x.cpu() for name, x in self.probe.state_dict().items()},
            optimizer=self.optimizer.state_dict(),
        )

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take the probe of a run that goes on."""
        self._saved = checkpoint.get('online_probe')

    def _restore(self) -> None:
        same = self._saved['classes'] == self.classes
        if same:  # else it begins anew, with the new classes
            self.probe.load_state_dict(self._saved['probe'])
            self.optimizer.load_state_dict(self._saved['optimizer'])
        self._saved = None
