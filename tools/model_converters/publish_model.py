"""Make the file to give away from a checkpoint: without optimiser, with its hash in the name.

Example::

    python tools/model_converters/publish_model.py work_dirs/vits/epoch_100.pth mmc_vits16.pth
"""

import argparse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('in_file', help='checkpoint to read')
    parser.add_argument('out_file', help='file to write; its name gets -<first 8 of SHA-256>')
    parser.add_argument('--force', action='store_true', help='replace what is there')
    parser.add_argument(
        '--allow-pickle',
        action='store_true',
        help='read a checkpoint whose pickle runs code; only one that you trust',
    )
    return parser.parse_args()


if __name__ == '__main__':
    parse_args()  # help and mistakes are answered before seconds of imports

from mmc_plugin.checkpoints.export import publish
from mmc_plugin.engine import cli


def main() -> None:
    args = parse_args()
    with cli.one_sentence_errors():
        path = publish(args.in_file, args.out_file, args.force, args.allow_pickle)
        cli.say(f'wrote {path}')


if __name__ == '__main__':
    main()
