"""Plot the losses, learning rate and feature numbers of one run or of several together.

Example: ``python tools/analysis/plot_curves.py work_dirs/vits_folder --out curves.png``
"""

import argparse
import os
import sys
from os.path import expanduser


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('run_dirs', nargs='+', metavar='RUN_DIR', help="runs' work directories")
    parser.add_argument(
        '--out', type=expanduser, help='PNG to write; by default curves.png in the first RUN_DIR'
    )
    return parser.parse_args(argv)


if __name__ == '__main__':
    parse_args()  # help and mistakes are answered before seconds of imports

import cv2

from mmc_plugin.errors import InputError
from mmc_plugin.visualization.curves import training_curves
from mmc_plugin.visualization.run_log import read_scalars


def main(argv: list[str] | None = None) -> None:
    """Read the runs' scalars and write the picture."""
    args = parse_args(argv)
    out = args.out or os.path.join(args.run_dirs[0], 'curves.png')
    if not cv2.haveImageWriter(out):
        sys.exit(f'{out!r} has no ending of a picture; name a PNG with --out, such as curves.png.')
    names = [os.path.basename(os.path.normpath(path)) for path in args.run_dirs]
    if len(set(names)) < len(names):
        paths = [os.path.abspath(path) for path in args.run_dirs]
        names = [os.path.relpath(path, os.path.commonpath(paths)) for path in paths]
    try:
        picture = training_curves(
            {name: read_scalars(path) for name, path in zip(names, args.run_dirs, strict=True)}
        )
    except (OSError, InputError) as error:
        sys.exit(str(error))
    if not cv2.imwrite(out, picture[..., ::-1]):
        sys.exit(f'{out!r} cannot be written; name a PNG in an existing folder with --out.')
    print(f'wrote {out}')


if __name__ == '__main__':
    main()
