"""Write a page about a run: its curves, pace and pictures, what looks wrong, and what to do.

Example: ``python tools/analysis/report_run.py work_dirs/vits_folder``

The run may go on meanwhile. The page is ``report.html`` in its work directory.
"""

import argparse


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('run', help='work directory of the run')
    return parser.parse_args(argv)


if __name__ == '__main__':
    parse_args()  # help and mistakes are answered before seconds of imports

from pathlib import Path

from mmc_plugin.engine.cli import one_sentence_errors, say
from mmc_plugin.visualization.run_report import write_run_report


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with one_sentence_errors():
        path, signs = write_run_report(Path(args.run))
        for sign in signs:
            say(f'{sign.what}. {sign.todo}')
        say(f'wrote {path}')


if __name__ == '__main__':
    main()
