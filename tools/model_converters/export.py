"""Write the backbone of a checkpoint for another framework, with a model card beside it.

SOURCE is anything that ``load_backbone`` reads: a run of this package or of mmpretrain, official
releases, safetensors, ONNX, a folder of Hugging Face, ``timm:<name>`` or ``hf:<name>``.

Example::

    python tools/model_converters/export.py work_dirs/vits/epoch_100.pth mmc_vits16.onnx --to onnx
"""

import argparse
import sys

# Format → ending of its file, those of mmc_plugin.checkpoints.export; a folder has none.
FORMATS = {
    'mmpretrain': '.pth', 'timm': '.pth', 'huggingface': '', 'safetensors': '.safetensors',
    'torchscript': '.pt', 'torch-export': '.pt2', 'onnx': '.onnx',
}  # fmt: skip


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('source', help='checkpoint to read')
    parser.add_argument('destination', help='file to write; a folder for huggingface')
    parser.add_argument('--to', choices=FORMATS, required=True, help='format to write')
    parser.add_argument(
        '--which',
        choices=['teacher', 'student'],
        default='teacher',
        help='network to take, where the checkpoint has both',
    )
    parser.add_argument(
        '--num-heads', type=int, help='attention heads, where the checkpoint does not say'
    )
    parser.add_argument(
        '--img-size',
        type=int,
        nargs='+',
        metavar='PIXELS',
        help='resize the positions once to images of this size, or height and width',
    )
    parser.add_argument('--force', action='store_true', help='replace what is there')
    parser.add_argument(
        '--allow-pickle',
        action='store_true',
        help='read a checkpoint whose pickle runs code; only one that you trust',
    )
    args = parser.parse_args()
    if args.img_size is not None and len(args.img_size) > 2:
        parser.error('--img-size takes one number, or height and width')
    ending = FORMATS[args.to]
    if not args.destination.endswith(ending):
        words = f'{args.destination} does not end with {ending}, as a file for {args.to} should'
        print(f'error: {words}', file=sys.stderr)
        sys.exit(2)
    return args


if __name__ == '__main__':
    parse_args()  # help and mistakes are answered before seconds of imports

from mmc_plugin.apis import load_backbone
from mmc_plugin.checkpoints import read_checkpoint
from mmc_plugin.checkpoints.export import check_destination, export_backbone
from mmc_plugin.engine import cli
from mmc_plugin.errors import RunError


def export(args: argparse.Namespace) -> None:
    card = check_destination(args.destination, args.to, args.force)
    size = args.img_size and tuple(args.img_size * (3 - len(args.img_size)))
    checkpoint = read_checkpoint(args.source, args.allow_pickle)
    model = load_backbone(checkpoint, which=args.which, img_size=size, num_heads=args.num_heads)
    usage = export_backbone(
        model, args.destination, args.to, sha256=checkpoint.sha256, force=args.force
    )
    cli.say(f'wrote {args.destination}; {card} tells how to load it')
    if usage.config:
        cli.say(usage.config)


def main() -> None:
    args = parse_args()
    with cli.one_sentence_errors():
        try:
            export(args)
        except ImportError as error:  # a library that one of the formats needs
            raise RunError(str(error)) from None


if __name__ == '__main__':
    main()
