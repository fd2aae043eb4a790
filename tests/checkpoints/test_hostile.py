"""Calls that a checkpoint could hold to run code: refused in every container, and not run."""

import builtins
import importlib
import io
import logging
import operator
import os
import pickle
import runpy
import shutil
import socket
import subprocess
import tempfile
import webbrowser
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from mmc_plugin.checkpoints import read_checkpoint
from mmc_plugin.datasets.plain_pickles import read_plain_pickle
from mmc_plugin.errors import UserError


class Call:
    """Pickled as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


# Each leaves the file (mark) if it is run, or would do harm without leaving anything.
CALLS = dict(
    system=lambda mark: Call(os.system, f'touch {mark}'),
    popen=lambda mark: Call(os.popen, f'touch {mark}'),
    execvp=lambda mark: Call(os.execvp, 'touch', ['touch', mark]),
    remove=lambda mark: Call(os.remove, mark + '.kept'),
    rename=lambda mark: Call(os.rename, mark + '.kept', mark),
    makedirs=lambda mark: Call(os.makedirs, mark),
    run=lambda mark: Call(subprocess.run, ['touch', mark]),
    call=lambda mark: Call(subprocess.call, ['touch', mark]),
    process=lambda mark: Call(subprocess.Popen, ['touch', mark]),
    eval=lambda mark: Call(eval, f'open({mark!r}, "w")'),
    exec=lambda mark: Call(exec, f'open({mark!r}, "w")'),
    open=lambda mark: Call(open, mark, 'w'),
    io_open=lambda mark: Call(io.open, mark, 'w'),
    imported=lambda mark: Call(importlib.import_module, 'antigravity'),
    builtin_import=lambda mark: Call(builtins.__import__, 'antigravity'),
    run_path=lambda mark: Call(runpy.run_path, mark + '.py'),
    rmtree=lambda mark: Call(shutil.rmtree, str(Path(mark).parent)),
    copy=lambda mark: Call(shutil.copy, mark + '.kept', mark),
    touch=lambda mark: Call(Path.touch, Path(mark)),
    write_text=lambda mark: Call(Path.write_text, Path(mark), 'x'),
    log=lambda mark: Call(logging.FileHandler, mark),
    temporary=lambda mark: Call(tempfile.mkdtemp, '', '', str(Path(mark).parent)),
    connect=lambda mark: Call(socket.create_connection, ('127.0.0.1', 9)),
    browser=lambda mark: Call(webbrowser.open, 'http://127.0.0.1:9'),
    getattr=lambda mark: Call(getattr, Path(mark), 'unlink'),
    setattr=lambda mark: Call(setattr, Path(mark), 'x', True),
    method=lambda mark: Call(operator.methodcaller, 'unlink'),
    partial=lambda mark: Call(partial, os.system, f'touch {mark}'),
    applied=lambda mark: Call(map, os.system, [f'touch {mark}']),
    code=lambda mark: Call(compile, f'open({mark!r}, "w")', 'x', 'exec'),
    loads=lambda mark: Call(pickle.loads, pickle.dumps(Call(os.system, f'touch {mark}'))),
    torch_load=lambda mark: Call(torch.load, mark + '.pth'),
    numpy_load=lambda mark: Call(np.load, mark + '.npy'),
    numpy_file=lambda mark: Call(np.savetxt, mark, [1.0]),
    hub=lambda mark: Call(torch.hub.load, 'a/b', 'c'),
)
PLACES = dict(
    weights=lambda call: dict(state_dict={'a.weight': call}),
    arguments=lambda call: dict(model={'a.weight': torch.ones(2)}, args=call),
    history=lambda call: dict(
        state_dict={'a.weight': torch.ones(2)}, message_hub=dict(runtime_info=dict(x=[call]))
    ),
)


@pytest.fixture
def mark(tmp_path):
    (tmp_path / 'inside').mkdir()
    mark = tmp_path / 'inside' / 'mark'
    Path(f'{mark}.kept').write_text('kept')
    Path(f'{mark}.py').write_text(f'open({str(mark)!r}, "w")')
    torch.save(Call(os.system, f'touch {mark}'), f'{mark}.pth')
    return str(mark)


def unharmed(mark):
    names = {path.name for path in Path(mark).parent.iterdir()}
    return names == {'mark.kept', 'mark.py', 'mark.pth'}


@pytest.mark.parametrize('legacy', [False, True], ids=['zip', 'legacy'])
@pytest.mark.parametrize('place', PLACES)
@pytest.mark.parametrize('name', CALLS)
def test_no_call_in_a_checkpoint_is_run(name, place, legacy, mark, tmp_path):
    path = tmp_path / 'hostile.pth'
    content = PLACES[place](CALLS[name](mark))
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(UserError, match=r'hostile\.pth is not read: it holds'):
        read_checkpoint(path)
    assert unharmed(mark)


@pytest.mark.parametrize('name', CALLS)
def test_no_call_in_a_data_sets_pickle_is_run(name, mark, tmp_path):
    path = tmp_path / 'gnd.pkl'
    path.write_bytes(pickle.dumps(dict(gnd=[CALLS[name](mark)])))
    with pytest.raises(UserError, match=r'gnd\.pkl'):
        read_plain_pickle(path)
    assert unharmed(mark)
