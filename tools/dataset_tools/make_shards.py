"""Put the images below a folder into tar shards, or index shards that are there.

Usage::

    python tools/dataset_tools/make_shards.py /data/images /data/shards      # writes and indexes
    python tools/dataset_tools/make_shards.py --index /data/imagenet_tars    # official tars, WebDataset, parquet
    python tools/dataset_tools/make_shards.py --index s3://bucket/shards --out /data/index
    python tools/dataset_tools/make_shards.py --verify /data/shards

Train on them with ``train_dataloader.dataset.type=ShardedImages
train_dataloader.dataset.data_root=/data/shards train_dataloader.sampler.type=BlockShuffledSampler``.
Interrupted, it goes on when it is called again.
"""  # noqa: E501

import argparse
import sys
from os.path import expanduser


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('source', help='folder of images; with --index or --verify, of shards')
    parser.add_argument('out', nargs='?', help='folder of the shards to write')
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        '--index', action='store_true', help='only index the .tar and .parquet files that are there'
    )
    mode.add_argument('--verify', action='store_true', help='compare all bytes with the index')
    parser.add_argument(
        '--out',
        type=expanduser,
        dest='index_out',
        help='with --index: folder of the index, if not in source',
    )
    parser.add_argument(
        '--shard-size', type=float, default=1e9, help='bytes of a shard, about (default: 1e9)'
    )
    parser.add_argument(
        '--in-channels',
        type=int,
        default=3,
        help='as the key in_channels of the config: other than 3 takes .npy files too (default: 3)',
    )
    args = parser.parse_args(argv)
    writes = not (args.index or args.verify)
    if writes != (args.out is not None) or (args.index_out and not args.index):
        parser.error('name a folder of images and one for the shards, or --index or --verify')
    if args.shard_size < 1:
        parser.error('--shard-size must be at least 1')
    return args


if __name__ == '__main__':
    parse_args()  # help and mistakes are answered before seconds of imports

from mmc_plugin.datasets.shards.making import index_shards, verify_shards, write_shards
from mmc_plugin.engine.cli import one_sentence_errors, say
from mmc_plugin.wording import counted


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with one_sentence_errors():
        if args.verify:
            wrong = verify_shards(args.source, say)
            for each in wrong:
                say(each)
            sys.exit(1 if wrong else 0)
        if args.index:
            number = index_shards(args.source, args.index_out, say, args.in_channels)
        else:
            size = int(args.shard_size)
            number = write_shards(args.source, args.out, size, say, args.in_channels)
        say(f'{counted(number, "image is", "images are")} indexed.')


if __name__ == '__main__':
    main()
