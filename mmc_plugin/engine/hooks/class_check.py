"""Whether a classifier and its data have the same classes."""

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

from ...datasets.labelled_images import LabelledImages, check_classes
from .model_access import unwrap


@HOOKS.register_module()
class ClassCheckHook(Hook):
    """Refuse a training or test whose head has other classes than its images.

    A head that is too wide would train all the same, and one set with a class less than the other
    would be scored with shifted labels.
    """

    def before_train(self, runner: Runner) -> None:
        """Check the images to train and to validate with."""
        sets = dict(train=runner.train_dataloader.dataset)
        if runner.val_loop is not None:
            sets['validate'] = runner.val_dataloader.dataset
        self._check(runner, sets)

    def before_test(self, runner: Runner) -> None:
        """Check the images to test with."""
        self._check(runner, dict(test=runner.test_dataloader.dataset))

    @staticmethod
    def _check(runner: Runner, sets: dict) -> None:
        own = {name: each for name, each in sets.items() if isinstance(each, LabelledImages)}
        check_classes(unwrap(runner.model).head.num_classes, own)
