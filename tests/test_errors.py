import pickle
import sys

import pytest

from mmc_plugin.errors import (
    InputError,
    MissingPackageError,
    RunError,
    UserError,
    led_to,
    needing,
)


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


def during(outer: Exception, way: str) -> Exception:
    """An error, raised while a missing file is being handled."""
    try:
        try:
            raise FileNotFoundError('/nope')
        except FileNotFoundError as error:
            if way == 'cause':
                raise outer from error
            if way == 'none':
                raise outer from None
            raise outer  # noqa: B904
    except Exception as error:
        return error


@pytest.mark.parametrize(
    'outer, way, through',
    [
        (RuntimeError('x'), 'context', True), (RuntimeError('x'), 'cause', True),
        (RuntimeError('x'), 'none', False), (TypeError('x'), 'cause', True),
        (TypeError('x'), 'context', False), (AttributeError('x'), 'context', False),
        (NameError('x'), 'context', False), (UnboundLocalError('x'), 'context', False),
    ],
)  # fmt: skip
def test_what_led_to_an_error_did_not_lead_to_a_mistake_beside_it(outer, way, through):
    kinds = [type(each) for each in led_to(during(outer, way))]
    assert kinds == [type(outer), *([FileNotFoundError] if through else [])]
    assert not [*led_to(None)]
