"""What the command-line tools share: finding a config, completing it, errors in one sentence."""

import errno
import gc
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed as torch_dist
from mmengine.config import Config, ConfigDict

import mmc_plugin
from mmc_plugin.checkpoints.files import refuse_code
from mmc_plugin.errors import InputError, StoppedRunError, UserError, led_to

from .building import unbuildable
from .config_checks import check_config, check_options
from .config_files import read_config
from .missing import missing_package
from .options import expand_home, parse_options

PACKAGE_DIR = Path(mmc_plugin.__file__).resolve().parent
# Where configs/ and tools/ lie: in the package once it is installed, beside it in a checkout.
ROOT = PACKAGE_DIR / '.mim' if (PACKAGE_DIR / '.mim').is_dir() else PACKAGE_DIR.parent

# Their own words name the file or the host.
PLAIN_ERRORS = (FileNotFoundError, FileExistsError, PermissionError, ConnectionError)
# The hooks that mmengine has if a config names none.
HOST_HOOKS = ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')


def say(message: str) -> None:
    """Print a line once, not once per process."""
    if os.environ.get('RANK', os.environ.get('SLURM_PROCID', '0')) == '0':
        print(message, flush=True)


def say_skipped(files: Sequence[str]) -> None:
    """List files that a tool cannot read and does without; nothing is said of none."""
    for place, file in enumerate(dict.fromkeys(files)):
        if not place:
            say('Left out, since they cannot be read:')
        say(f'  {file}')


def find_config(path: str) -> str:
    """Path of a config: as given, or among the configs of this package.

    Args:
        path: A file, or a name below the package's config folder, with or without the leading
            ``configs/``, such as ``mmc/vitb_400e.py``.

    Raises:
        FileNotFoundError: If there is no such file in either place.
    """
    if Path(path).is_file():
        return path
    for candidate in (ROOT / path, ROOT / 'configs' / path):
        if candidate.is_file():
            return str(candidate)
    raise FileNotFoundError(
        f'the config {path} is neither a file here nor one of the configs of mmc_plugin in '
        f'{ROOT / "configs"}'
    )


def load_config(
    path: str,
    options: Sequence[str] | dict | None,
    launcher: str = 'none',
    work_dir: str | None = None,
    strict: bool = True,
) -> Config:
    """Read a config and set what every tool sets.

    Args:
        path: Passed to :func:`find_config`.
        options: Of ``--cfg-options``, as ``KEY=VALUE`` (:func:`parse_options`) or read already:
            merged first, so that all later defaults see them.
        launcher: Of mmengine: ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.
        work_dir: Folder of the run; by default the config's own, else ``work_dirs/<its name>``.
        strict: Refuse what nothing would read and values that would void a training, see
            :mod:`mmc_plugin.engine.config_checks`.

    Raises:
        FileNotFoundError: If there is no such config.
        ValueError: If it is refused.
    """
    path = find_config(path)
    cfg = read_config(path)
    if options and not isinstance(options, dict):
        options = parse_options(options)
    if options:
        if strict:
            check_options(cfg, options)
        cfg.merge_from_dict(options)
    expand_home(cfg._cfg_dict)
    hooks = cfg.get('default_hooks') or {}
    for name in [name for name, hook in hooks.items() if hook is None and name not in HOST_HOOKS]:
        del hooks[name]  # mmengine takes None for its own only
    cfg.launcher = launcher
    if work_dir is not None:
        cfg.work_dir = work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(path).stem)
    if strict:
        check_config(cfg)
    return cfg


def available_cpus() -> int:
    """CPU cores that this process may use, after sharing them with its siblings on the node."""
    if hasattr(os, 'sched_getaffinity'):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, cores // int(os.environ.get('LOCAL_WORLD_SIZE', '1')))


def complete_loader(
    cfg: Config, name: str, pin_memory: bool = True, persistent_workers: bool = True
) -> None:
    """Give a dataloader of ``cfg`` the settings that fit this machine, in place.

    Args:
        cfg: Config with or without a dataloader of that name.
        name: Such as ``'train_dataloader'``.
        pin_memory: False forbids pinned memory; True allows it where there is a GPU, unless the
            config says otherwise.
        persistent_workers: False forbids them; True allows them where there are workers, unless
            the config says otherwise.
    """
    loader = cfg.get(name)
    if loader is None:
        return
    if cfg.get('default_scope', 'mmpretrain') == 'mmpretrain':
        # The other hosts leave images of several sizes apart, as mmengine does by default.
        loader.setdefault('collate_fn', dict(type='default_collate'))
    workers = loader.setdefault('num_workers', 0)
    limit = available_cpus()
    if workers > limit:
        say(f'{name}: {workers} workers asked for, {limit} used, as many as there are CPU cores.')
        loader.num_workers = limit
    loader.setdefault('pin_memory', torch.cuda.is_available())
    loader.setdefault('persistent_workers', True)
    if not pin_memory:
        loader.pin_memory = False
    if not persistent_workers or loader.num_workers == 0:
        loader.persistent_workers = False
    sampler = loader.get('sampler') or {}
    if str(sampler.get('type')).endswith('BlockShuffledSampler'):
        if '://' in str((loader.get('dataset') or {}).get('data_root')):
            sampler.setdefault('ahead', loader.batch_size * max(loader.num_workers, 1))
    if loader.num_workers == 0:
        # torch refuses it for a loader without workers.
        loader.pop('prefetch_factor', None)


def check_checkpoints(cfg: Config, allow_pickle: bool) -> None:
    """Refuse checkpoints of a config that would run code when mmengine reads them.

    These are ``load_from`` and the ``init_cfg`` of parts of the model.

    Args:
        cfg: With everything from the command line merged in.
        allow_pickle: Check nothing, because the user trusts them all.

    Raises:
        FileNotFoundError: If one does not exist.
        ValueError: If one is refused, or is not a file here that could be checked.
    """
    if allow_pickle:
        return
    for path in dict.fromkeys(_checkpoints(cfg)):
        if Path(path).is_dir() or (':' in path and not Path(path).exists()):
            raise InputError(
                f'the checkpoint {path} is no file on this disk, which could be checked for code: '
                'download it and give the file, or add --allow-pickle if you trust its source'
            )
        refuse_code(path)


def _checkpoints(cfg: Config) -> Iterator[str]:
    if cfg.get('load_from'):
        yield cfg.load_from
    parts = [cfg.get('model')]
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            kind = part.get('type')
            name = kind if isinstance(kind, str) else getattr(kind, '__name__', '')
            initialised = name.rpartition('.')[2] in ('Pretrained', 'PretrainedInit')
            for key in ('checkpoint', 'pretrained') if initialised else ('pretrained',):
                if isinstance(part.get(key), str):
                    yield part[key]
            parts += part.values()
        elif isinstance(part, list | tuple):
            parts += part


def prepare_launch(cfg: Config) -> None:
    """Let a distributed run work on machines without a GPU, in place.

    mmengine chooses a CUDA device for each process before anything else. On a machine without one
    the process group is therefore made here, with gloo, and mmengine finds it made.

    Raises:
        ValueError: If a launcher other than torchrun's is asked for without a GPU.
    """
    if cfg.launcher == 'none' or torch.cuda.is_available():
        return
    if cfg.launcher != 'pytorch':
        raise InputError(
            f'the launcher {cfg.launcher} needs a GPU and this machine shows none: on CPUs use '
            'dist_train.sh or dist_test.sh'
        )
    cfg.setdefault('env_cfg', ConfigDict()).setdefault('dist_cfg', ConfigDict()).backend = 'gloo'
    wrapper = cfg.get('model_wrapper_cfg') or ConfigDict(
        type='MMDistributedDataParallel',
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )
    if wrapper.get('type', '').endswith('DistributedDataParallel'):
        wrapper.device_ids = None
    cfg.model_wrapper_cfg = wrapper
    if not torch_dist.is_initialized():
        torch_dist.init_process_group('gloo')


def end_launch() -> None:
    """Leave the group of processes, in place of the end of the program.

    A thread of gloo that still frees a tensor while Python ends aborts the process. The threads go
    with all that holds the group: the wrapped model, which only a collection frees. PyTorch 2.5
    waits for them without letting go of Python's lock, which freeing a tensor needs: so they are
    given time for what the last operation has left them.
    """
    if torch_dist.is_initialized():
        gc.collect()
        time.sleep(0.2)
        torch_dist.destroy_process_group()


@contextmanager
def one_sentence_errors() -> Iterator[None]:
    """End the program with one sentence where the user can help, and exit code 2.

    These are the package's :class:`UserError`, files and hosts that cannot be reached, a full disk,
    a full GPU, missing packages and parts that cannot be built from the config. Everything else
    keeps its traceback, and with ``MMC_TRACEBACK=1`` in the environment all do. A line that a full
    disk keeps out of the log file is no traceback on the screen either.
    """
    shown, logging.raiseExceptions = logging.raiseExceptions, _tracebacks()
    try:
        yield
    except KeyboardInterrupt:
        if _tracebacks():
            raise
        print('interrupted', file=sys.stderr, flush=True)
        sys.exit(130)
    except StoppedRunError as stop:
        say(stop.sentence())
        sys.exit(stop.status)
    except Exception as error:
        message = None if _tracebacks() else _sentence(error)
        if message is None:
            raise
        rank = os.environ.get('RANK')
        where = f' (process {rank})' if rank not in (None, '0') else ''
        print(f'error{where}: {message}', file=sys.stderr, flush=True)
        sys.exit(2)
    finally:
        logging.raiseExceptions = shown


def _tracebacks() -> bool:
    return os.environ.get('MMC_TRACEBACK') == '1'


def _sentence(first: BaseException) -> str | None:
    """What to tell the user about an error or one that led to it; None if it is unexpected."""
    for error in led_to(first):
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            place = f' while writing {error.filename}' if error.filename else ''
            return f'the disk is full{place}: free some space, then go on with --resume'
        if isinstance(error, torch.cuda.OutOfMemoryError):
            return 'the GPU is out of memory: lower train_dataloader.batch_size, or use --amp'
        if isinstance(error, UserError):
            return error.sentence()
        if isinstance(error, PLAIN_ERRORS):
            return ' '.join(str(error).split())
        if isinstance(error, ImportError) and missing_package(error):
            return missing_package(error)
    return unbuildable(first)
