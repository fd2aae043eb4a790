"""Train a list of pretraining configs on one folder, score each, and write one table.

Example: ``python tools/analysis/compare_runs.py configs/dino/vitt_caltech101.py
configs/mmc/vitt_caltech101.py --data data/caltech101 --out work_dirs/compared --epochs 20``

All runs see equally many images (``--epochs``) or train equally long (``--minutes``), then with as
many epochs as fit and a schedule of that length; a run that is shorter than its config says moves
its teacher faster (MomentumTeacherHook), but for MoCo v3, which moves it by itself. A second call
goes on where the first one was stopped: rows that are done are not done again. The table is of the
runs that the last call named.
"""

import argparse
import json
import sys
from os.path import expanduser
from pathlib import Path

# Of write_comparison, the first of them first.
OUTPUTS = ('table.json', 'table.md', 'index.html', 'curves.png')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'configs', nargs='+', metavar='CONFIG', help='pretraining configs, one a row'
    )
    parser.add_argument(
        '--data',
        type=expanduser,
        required=True,
        help='folder with train/ and val/, a folder a class',
    )
    parser.add_argument(
        '--out', type=expanduser, required=True, help='folder of the runs and the table'
    )
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument('--epochs', type=int, help='of each run')
    length.add_argument('--minutes', type=float, help='of each run, with as many epochs as fit')
    parser.add_argument(
        '--names', nargs='*', metavar='NAME', help='of the rows (default: what tells configs apart)'
    )
    parser.add_argument('--seed', type=int, default=0, help='of each run (default: %(default)s)')
    parser.add_argument(
        '--test', nargs='*', default=[], metavar='CONFIG', help='configs of tools/test.py, too'
    )
    parser.add_argument(
        '--paper', metavar='JSON', help="a paper's figures of each row, to set beside"
    )
    args = parser.parse_args(argv)
    if (args.minutes if args.epochs is None else args.epochs) <= 0:
        sys.exit('error: --epochs and --minutes must be more than 0')
    found = row_names(args.configs)
    args.names = found if args.names is None else args.names
    if not len(set(args.names)) == len(args.names) == len(found):
        sys.exit(f'error: --names needs {len(found)} different names, one for each config')
    outputs = [Path(args.out) / name for name in OUTPUTS]
    if not outputs[0].exists() and (foreign := [path for path in outputs if path.exists()]):
        sys.exit(f'error: {foreign[0]} was not written by this tool: choose another --out')
    for part in ('train', 'val'):
        if not (Path(args.data) / part).is_dir():
            sys.exit(
                f'error: {Path(args.data) / part} is not a folder: --data needs train/ and val/ '
                'with a folder of images for each class'
            )
    return args


def row_names(configs: list[str]) -> list[str]:
    """What tells the configs apart: their names, or those of their folders."""
    paths = [Path(config) for config in configs]
    for missing in (path for path in paths if not path.is_file()):
        sys.exit(f'error: there is no config {str(missing)!r}')
    names = [path.stem for path in paths]
    if len(set(names)) < len(names):
        names = [path.resolve().parent.name for path in paths]
    if len(set(names)) < len(names):
        names = [f'{path.resolve().parent.name}_{path.stem}' for path in paths]
    if len(set(names)) < len(names):
        sys.exit('error: a config is given twice')
    return names


if __name__ == '__main__':
    parse_args()  # help and mistakes are answered before seconds of imports

from mmengine.config import Config

from mmc_plugin.checkpoints.files import read_checkpoint
from mmc_plugin.durable import write_durably
from mmc_plugin.engine.tool_runs import run_tool
from mmc_plugin.visualization.comparison_page import Row, read_row, write_comparison
from mmc_plugin.wording import counted


def main(argv: list[str] | None = None) -> None:
    """Train, score and write the table after each row."""
    args = parse_args(argv)
    data = Path(args.data).resolve()
    paper = json.loads(Path(args.paper).read_text()) if args.paper else {}
    out = Path(args.out).resolve()
    rows: list[Row] = []
    for name, config in zip(args.names, args.configs, strict=True):
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        problem = train(Path(config).resolve(), folder, data, args)
        if problem is None:
            for test in args.test:
                problem = problem or score(Path(test).resolve(), folder)
        rows.append(read_row(name, folder, problem, paper.get(name)))
        write_comparison(rows, out, counted(args.epochs, 'epoch') if args.epochs else
                         f'{args.minutes:g} minutes')  # fmt: skip
        print(f'{name}: {problem or rows[-1].words()}', flush=True)
    print(f'wrote {out / "index.html"}')
    sys.exit(1 if any(row.problem for row in rows) else 0)


def train(config: Path, folder: Path, data: Path, args: argparse.Namespace) -> str | None:
    """Train a config unless that is done; what went wrong, in a sentence."""
    plan, done = folder / 'plan.json', folder / 'trained.json'
    wanted = dict(config=str(config), data=str(data), epochs=args.epochs, minutes=args.minutes,
                  seed=args.seed)  # fmt: skip
    # Of a run that was stopped too: it would go on with its own settings.
    before = next((json.loads(each.read_text()) for each in (done, plan) if each.exists()), wanted)
    if before != wanted:
        return f'{folder} holds another run ({before}): choose another --out'
    if done.exists():
        return None
    if not plan.exists() and any(folder.iterdir()):
        return f'{folder} holds files of something else: choose another --out'
    write_durably(plan, json.dumps(wanted).encode())
    length = f'max_epochs={args.epochs}'
    if args.minutes:
        meant = Config.fromfile(config).get('train_cfg', {}).get('max_epochs')
        if meant is None:
            return f'{config} has no train_cfg.max_epochs, which --minutes fits to the time'
        length = (f"_delete_=True, type='TimeLimitedTrainLoop', max_epochs={meant}, "
                  f'most_epochs=1_000_000, seconds={60 * args.minutes}')  # fmt: skip
    text = (
        f'_base_ = [{str(config)!r}]\n'
        f'train_dataloader = dict(dataset=dict(data_root={str(data / "train")!r}))\n'
        f'train_cfg = dict({length})\n'
        f'randomness = dict(seed={args.seed})\n'
        "default_hooks = dict(features=dict(type='FeatureMonitorHook', "
        f'train_dir={str(data / "train")!r}, val_dir={str(data / "val")!r}))\n'
    )
    write_durably(folder / 'config.py', text.encode())
    problem = run_tool(folder / 'train.log', 'train.py', folder / 'config.py', '--work-dir',
                       folder / 'run', '--resume')  # fmt: skip
    if problem is None and not at_its_end(folder / 'run'):
        problem = 'was stopped before its end: the same command goes on'
    if problem is None:
        write_durably(done, json.dumps(wanted).encode())
    return problem


def at_its_end(run: Path) -> bool:
    """Whether a run has all its epochs; one that a file STOP ended succeeds, too."""
    content = read_checkpoint((run / 'last_checkpoint').read_text().strip()).content
    return content['meta']['epoch'] >= content['message_hub']['runtime_info']['max_epochs']


def score(test: Path, folder: Path) -> str | None:
    """Score a run's checkpoint by a test config unless that is done."""
    name = f'{test.parent.name}_{test.stem}'  # two protocols may have a config of one name
    work = folder / name
    if any(work.glob('*/*.json')):
        return None
    checkpoint = (folder / 'run' / 'last_checkpoint').read_text().strip()
    return run_tool(folder / f'{name}.log', 'test.py', test, checkpoint, '--work-dir', work)


if __name__ == '__main__':
    main()
