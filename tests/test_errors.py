import pickle
import sys

import pytest

from mmc_plugin.errors import InputError, MissingPackageError, RunError, UserError, needing


@pytest.mark.parametrize(
    'kind, builtin',
    [(InputError, ValueError), (RunError, RuntimeError), (MissingPackageError, ImportError)],
)
def test_callers_may_expect_the_builtin_type(kind, builtin):
    error = pickle.loads(pickle.dumps(kind('the file a.png\nis empty')))
    assert isinstance(error, builtin) and isinstance(error, UserError)
    assert error.sentence() == 'the file a.png is empty'


def test_a_workers_traceback_is_left_out():
    text = '\n'.join([
        'Caught InputError in DataLoader worker process 0.',
        'Original Traceback (most recent call last):',
        '  File "/x.py", line 1',
        "    raise InputError('a: b')",
        'mmc_plugin.errors.InputError: a: b',
    ])  # fmt: skip
    assert InputError(text).sentence() == 'a: b'


def test_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'timm', None)
    with pytest.raises(MissingPackageError, match='^install timm to do this$') as caught:
        with needing('install timm to do this'):
            import timm  # noqa: F401
    assert isinstance(caught.value, ImportError)
    with needing('nothing'):
        import json  # noqa: F401
