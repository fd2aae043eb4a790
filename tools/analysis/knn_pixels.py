"""k-NN accuracy of raw pixels, the line that learned features have to pass.

    python tools/analysis/knn_pixels.py TRAIN_DIR VAL_DIR

Both folders hold one folder a class. An image is its centre square at ``--side`` pixels, less the
mean training image; neighbours and votes are those of the k-NN on features.
"""

import argparse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('train_dir', help='images that vote, a folder a class')
    parser.add_argument('val_dir', help='images that are classified, a folder a class')
    parser.add_argument(
        '--side', type=int, default=16, help='pixels that images are reduced to (default: 16)'
    )
    parser.add_argument(
        '--k', type=int, nargs='+', default=[10, 20], help='neighbours that vote (default: 10 20)'
    )
    return parser.parse_args()


if __name__ == '__main__':
    parse_args()  # help and mistakes are answered before seconds of imports

import torch

from mmc_plugin.datasets.image_files import ImageFiles, scan_labelled
from mmc_plugin.engine import cli
from mmc_plugin.evaluation.functional.knn import knn_accuracy


def load_pixels(paths: list[str], labels: list[int], side: int) -> tuple[torch.Tensor, ...]:
    """Pixels (N, 3 * side²) in [0, 1] and labels (N,) of the images that can be read."""
    images, readable = zip(*ImageFiles(paths, side, side), strict=True)
    kept = torch.tensor(readable)
    cli.say_skipped([path for path, whole in zip(paths, readable, strict=True) if not whole])
    return torch.stack(images)[kept].flatten(1) / 255, torch.tensor(labels)[kept]


def main() -> None:
    args = parse_args()
    with cli.one_sentence_errors():
        paths, labels, classes = scan_labelled(args.train_dir)
        train, train_labels = load_pixels(paths, labels, args.side)
        paths, labels, _ = scan_labelled(args.val_dir, classes)
        val, val_labels = load_pixels(paths, labels, args.side)
        mean = train.mean(0)
        scores = knn_accuracy(train - mean, train_labels, val - mean, val_labels, k=args.k)
        for k, accuracy in scores.items():
            print(f'k = {k}: {accuracy:.2f} %')


if __name__ == '__main__':
    main()
