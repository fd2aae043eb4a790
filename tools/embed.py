"""Write the features of all images below a folder to files, for other programs.

Example::

    python tools/embed.py CHECKPOINT photos --what cls patches --layers -2 -1 --out features

A killed run goes on where it was when it is started again. docs/patch_features.md says what the
files hold; in Python, mmc_plugin.apis.read_embeddings reads them.
"""

import argparse
from os.path import expanduser


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('checkpoint', help='a file, folder, timm:<name> or hf:<name>')
    parser.add_argument('folder', help='images, in any nesting')
    parser.add_argument('--out', type=expanduser, required=True, help='folder for the files')
    parser.add_argument(
        '--what', nargs='+', default=['cls'], choices=['cls', 'patches', 'mean'],
        help='class token, patch tokens, mean of the patch tokens',
    )  # fmt: skip
    parser.add_argument(
        '--layers', nargs='+', type=int, default=[-1], help='from 0, or negative from the end'
    )
    parser.add_argument('--size', type=int, default=224, help='side of the square in pixels')
    parser.add_argument(
        '--fit', choices=['crop', 'stretch', 'pad'], default='crop',
        help='how an image becomes a square (default: crop, its centre)',
    )  # fmt: skip
    parser.add_argument(
        '--format', choices=['safetensors', 'npz', 'parquet'], default='safetensors',
        help='of the files; parquet needs pip install pyarrow',
    )  # fmt: skip
    parser.add_argument('--shard', type=int, default=1024, help='images in a file')
    parser.add_argument('--half', action='store_true', help='float16 instead of float32')
    parser.add_argument('--batch-size', type=int, default=32, help='images at once')
    parser.add_argument('--workers', type=int, default=2, help='processes that decode')
    parser.add_argument('--device', help='by default cuda if there is one, else cpu')
    return parser.parse_args(argv)


if __name__ == '__main__':
    parse_args()  # help and mistakes are answered before seconds of imports

import torch

from mmc_plugin.apis import embed_folder
from mmc_plugin.engine import cli
from mmc_plugin.wording import counted


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
    with cli.one_sentence_errors():
        manifest = embed_folder(
            args.checkpoint, args.folder, args.out, args.what, args.layers, args.size, args.fit,
            args.format, args.shard, args.half, args.batch_size, args.workers, device,
        )  # fmt: skip
        files = manifest['files']
        cli.say_skipped([name for each in files for name in each['unreadable']])
        images = counted(sum(each['images'] for each in files), 'image')
        print(f'{images} in {counted(len(files), "file")} in {args.out}')


if __name__ == '__main__':
    main()
