"""Evaluate checkpoints by every protocol of the paper whose data is there, and write one report.

Example: ``CIFAR_ROOT=/data/cifar DAVIS_ROOT=/data/davis python tools/evaluate_all.py a.pth b.pth``

The folders of data are those of the configs: environment variables, or below ``data/``. A second
call does only what is missing: what is done is known by the checkpoint's hash, config and options.
"""

import argparse
import sys
from fnmatch import fnmatch
from os.path import expanduser
from pathlib import Path

OUT = 'work_dirs/evaluate_all'


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'checkpoints',
        nargs='*',
        metavar='CHECKPOINT',
        help='of any format that load_backbone reads',
    )
    parser.add_argument(
        '--out', type=expanduser, default=OUT, help='folder of the report (default: %(default)s)'
    )
    parser.add_argument(
        '--protocols',
        nargs='+',
        metavar='NAME',
        help='only these of --list: names, groups such as knn, patterns such as "*/pets", or '
        'parts_vs_objects: those of arXiv 2301.11915, with a table of their own',
    )
    parser.add_argument(
        '--list', action='store_true', help='list the protocols and where their data is looked for'
    )
    parser.add_argument(
        '--train',
        action='store_true',
        help='also those that train, for hours or days: linear segmentation and finetuning',
    )
    parser.add_argument(
        '--allow-pickle',
        action='store_true',
        help='read checkpoints whose pickle runs code; only for files that you trust',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action='extend',
        default=[],
        metavar='KEY=VALUE',
        help='settings that each of the chosen protocols gets',
    )
    parser.add_argument(
        '--train-options',
        nargs='+',
        action='extend',
        default=[],
        metavar='KEY=VALUE',
        help='settings that those that train get beside, such as train_cfg.max_epochs=20',
    )
    args = parser.parse_args(argv)
    if not args.checkpoints and not args.list:
        parser.error('name a checkpoint, or --list')
    return args


if __name__ == '__main__':
    parse_args()  # help and mistakes are answered before seconds of imports

import hashlib
import json
import os
import time

from mmengine.logging import MMLogger

from mmc_plugin.checkpoints import file_hash, read_backbone
from mmc_plugin.durable import write_durably
from mmc_plugin.engine import cli
from mmc_plugin.engine.config_files import read_config
from mmc_plugin.engine.tool_runs import run_tool
from mmc_plugin.errors import InputError, UserError
from mmc_plugin.evaluation.part_study import STUDY
from mmc_plugin.evaluation.protocols import PROTOCOLS, Protocol
from mmc_plugin.visualization.evaluation_page import Evaluation, write_evaluations


def main(argv: list[str] | None = None) -> int:
    """Evaluate; the report is written anew after each evaluation. 1 if one has failed."""
    args = parse_args(argv)
    MMLogger.get_current_instance().setLevel('WARNING')  # of the runs, which have logs of their own
    os.environ.pop('MMC_CHECKPOINT', None)  # each run gets its own; configs must not differ by it
    chosen = choose(args.protocols)
    absent = {each: why for each in chosen if (why := missing(each)) is not None}
    if args.list:
        for each in chosen:
            state = absent.get(each) or f'data in {folder_of(each)}'
            print(f'{each.name}: {each.title}{", trains" if each.trains else ""}; {state}')
        return 0
    checkpoints = {
        name: dict(path=path, sha256=file_hash(path))
        for name, path in zip(names(args.checkpoints), args.checkpoints, strict=True)
    }
    skipped = {each.title: why for each, why in absent.items()}
    for each in chosen:
        if each.trains and not args.train and each not in absent:
            skipped[each.title] = 'trains first: add --train'
    out = Path(args.out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    evaluations: list[Evaluation] = []
    write_evaluations(evaluations, checkpoints, skipped, out)
    for protocol in (each for each in chosen if each.title not in skipped):
        for name, about in checkpoints.items():
            evaluations.append(evaluate(protocol, name, about, out, args))
            write_evaluations(evaluations, checkpoints, skipped, out)
            done = evaluations[-1]
            told = ', '.join(f'{k} {v:.2f}' for k, v in done.numbers().items() if v is not None)
            print(f'{protocol.title}, {name}: {done.problem or told}', flush=True)
    for title, why in skipped.items():
        print(f'skipped: {title}: {why}')
    print(f'wrote {out / "index.html"}, report.md and report.json beside it')
    return 1 if any(each.problem for each in evaluations) else 0


def choose(wanted: list[str] | None) -> list[Protocol]:
    """The protocols that are asked for, all by default.

    Raises:
        ValueError: If one is not known.
    """
    if not wanted:
        return list(PROTOCOLS)
    study = [row.protocol for row in STUDY]
    wanted = [each for one in wanted for each in (study if one == 'parts_vs_objects' else [one])]
    for pattern in wanted:
        if not any(matches(each, pattern) for each in PROTOCOLS):
            raise InputError(
                f'--protocols {pattern}: there is no such protocol; --list names them all'
            )
    return [each for each in PROTOCOLS if any(matches(each, pattern) for pattern in wanted)]


def matches(protocol: Protocol, pattern: str) -> bool:
    return protocol.name.split('/')[0] == pattern or fnmatch(protocol.name, pattern)


def folder_of(protocol: Protocol) -> Path:
    """Where its config looks for the data."""
    return Path(os.environ.get(protocol.variable) or protocol.default).expanduser()


def missing(protocol: Protocol) -> str | None:
    """What of its data is not there, in words."""
    root = folder_of(protocol)
    way = f'set {protocol.variable} to the folder of the data'
    if not root.is_dir():
        return f'no folder {root}; {way}'
    for need in protocol.needs:
        place, is_file = root / need, Path(need).suffix != ''
        if not (place.is_file() if is_file else place.is_dir()):
            return f'no {"file" if is_file else "folder"} {place}; {way}'
    return None


def names(paths: list[str]) -> list[str]:
    """What tells the checkpoints apart: as little of their paths as will do.

    Raises:
        ValueError: If one is given twice.
    """
    if len(set(paths)) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise InputError(f'the checkpoint {twice} is given twice: name it once')
    for parts in range(1, max(len(Path(path).parts) for path in paths) + 1):
        found = ['/'.join(Path(path).parts[-parts:]) for path in paths]
        if len(set(found)) == len(found):
            break
    return found


def evaluate(
    protocol: Protocol, name: str, about: dict, out: Path, args: argparse.Namespace
) -> Evaluation:
    """Evaluate a checkpoint unless that is done; what goes wrong harms no other."""
    options = [*protocol.options, *args.cfg_options]
    options += args.train_options if protocol.trains else []
    if protocol.shares_features:
        (out / 'features').mkdir(exist_ok=True)  # of a folder that is there, commas are its name
        options.append(f'test_cfg.cache_dir={out / "features"}')
    result = Evaluation(protocol, name, out)
    try:
        config = cli.find_config(config_for(protocol, about['path'], args.allow_pickle))
        key = hashlib.sha256(repr((read_config(config).to_dict(), options)).encode()).hexdigest()
    except (UserError, OSError) as error:
        result.problem = ' '.join(str(error).split())
        return result
    label = protocol.name.replace('/', '_')
    result.folder = folder = out / 'runs' / label / f'{about["sha256"][:16]}_{key[:16]}'
    done = folder / 'done.json'
    if done.exists() and result.report() is not None:
        return result
    folder.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    result.problem = run(protocol, config, options, about['path'], folder, args.allow_pickle)
    if result.problem is None and result.report() is None:
        result.problem = f'has left no {protocol.report} in {folder}'
    if result.problem is None:
        seconds = round(time.monotonic() - begin, 1)
        write_durably(done, json.dumps(dict(about, options=options, seconds=seconds)).encode())
    return result


def config_for(protocol: Protocol, checkpoint: str, allow_pickle: bool) -> str:
    """The config; of those of segmentation, which are made for a width, the one that fits."""
    if '/vits_' not in protocol.config:
        return protocol.config
    arch = read_backbone(checkpoint, allow_pickle=allow_pickle).settings['arch']
    made = {384: protocol.config, 768: protocol.config.replace('/vits_', '/vitb_')}
    config = made.get(arch['embed_dims'])
    if config is None or not (cli.ROOT / 'configs' / config).is_file():
        raise InputError(f'there is no config of {protocol.title} for a ViT of {arch}')
    return config


def run(
    protocol: Protocol,
    config: str,
    options: list[str],
    checkpoint: str,
    folder: Path,
    allow_pickle: bool,
) -> str | None:
    """Train, if the protocol does, and test; what went wrong, in a sentence."""
    more = ['--allow-pickle'] if allow_pickle else []
    more += ['--cfg-options', *options] if options else []
    if protocol.trains:
        problem = run_tool(folder / 'train.log', 'train.py', config, '--work-dir',
                           folder / 'train', '--resume', *more,
                           environment=dict(MMC_CHECKPOINT=checkpoint))  # fmt: skip
        if problem is not None:
            return problem
        trained = (folder / 'train' / 'last_checkpoint').read_text().strip()
        return run_tool(folder / 'test.log', 'test.py', config, trained, '--work-dir', folder,
                        *more, environment=dict(MMC_CHECKPOINT=checkpoint))  # fmt: skip
    return run_tool(folder / 'test.log', 'test.py', config, checkpoint, '--work-dir', folder, *more)


if __name__ == '__main__':
    with cli.one_sentence_errors():
        sys.exit(main())
