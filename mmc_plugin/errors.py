"""Errors whose text is meant for the user: tools print it as one sentence, without a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

# Of a program; whatever was being handled when they were made did not lead to them.
_MISTAKES = (AttributeError, NameError, TypeError)


class UserError(Exception):
    """Something that the user can mend; the text names the file or key and the way out.

    Raise one of the subclasses, which are the built-in types that callers expect, too.
    """

    def sentence(self) -> str:
        """The text on one line, without what torch adds to an error of a dataloader's worker."""
        text = str(self)
        if ' in DataLoader worker process ' in text.partition('\n')[0]:  # a traceback as text
            text = text.rpartition(f'{type(self).__qualname__}: ')[2]
        return ' '.join(text.split())


class InputError(UserError, ValueError):
    """A value, key, file or combination of them that cannot be used."""


class RunError(UserError, RuntimeError):
    """A run that cannot go on."""


class StoppedRunError(RunError):
    """A training that was asked to stop has done so, with a checkpoint.

    Args:
        text (str): For the user.
        status (int): Exit code of a program: 0 where the user wanted it, 75 (EX_TEMPFAIL of
            sysexits.h) where the machine did, and the run should be started again.
    """

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class RollBackError(RunError):
    """A training that has to go back to its last checkpoint.

    Args:
        text (str): Why, as the beginning of a sentence.
        seed (int): What it goes on with.
        most (int): How often it may go back.
    """

    def __init__(self, text: str, seed: int, most: int) -> None:
        super().__init__(text)
        self.seed, self.most = seed, most


class MissingPackageError(UserError, ImportError):
    """A package that has to be installed for what is asked."""


def led_to(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and one after the other those that led to it."""
    while error is not None:
        yield error
        alone = error.__suppress_context__ or isinstance(error, _MISTAKES)
        error = error.__cause__ or (None if alone else error.__context__)


@contextmanager
def needing(sentence: str) -> Iterator[None]:
    """Inside: an import that fails raises :class:`MissingPackageError` with this sentence."""
    try:
        yield
    except ImportError:
        raise MissingPackageError(sentence) from None
