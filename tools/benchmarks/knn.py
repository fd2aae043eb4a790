"""Time of the exact search for nearest neighbours over that of faiss, and its memory.

Both search the same features in turn; faiss needs ``pip install faiss-cpu`` and searches on the
CPU. The figure is the median of the ratios of the turns.

Example:
    python tools/benchmarks/knn.py --repeats 5
    python tools/benchmarks/knn.py --bank 1000000 --queries 1000 --hybrid --no-faiss
    python tools/benchmarks/knn.py --bank 1000000 --queries 10000 --stored --repeats 3
"""

import argparse
import json
import math
import platform
import resource
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from timing import in_turns, ratio

from mmc_plugin.apis import PatchBank
from mmc_plugin.evaluation.functional.neighbours import nearest_neighbours

GIB = 1 << 30


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--queries', type=int, default=10_000, help='features to find neighbours for'
    )
    parser.add_argument('--bank', type=int, default=100_000, help='features to find them among')
    parser.add_argument('--width', type=int, default=384, help='numbers in a feature')
    parser.add_argument('-k', type=int, default=20, help='neighbours of each')
    parser.add_argument('--hybrid', action='store_true', help='features of two parts')
    parser.add_argument(
        '--stored', action='store_true', help='ours searches a PatchBank, faiss its copy in memory'
    )
    parser.add_argument('--no-faiss', action='store_true', help='time and memory of our own only')
    parser.add_argument('--device', default='cpu', help='of our own search')
    parser.add_argument('--threads', type=int, default=1, help='threads on a CPU')
    parser.add_argument('--repeats', type=int, default=5, help='turns that enter the median')
    parser.add_argument('--out', type=Path, help='JSON file for the results')
    args = parser.parse_args()
    if args.stored and args.hybrid:
        parser.error('a PatchBank has rows of one part')
    return args


def peak_gib() -> float:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB


def store(rows, folder, files=10):
    """A bank of patches (N, D) as tools/embed.py writes it, of no network."""
    cells = math.gcd(len(rows), 1000)  # patches of an image
    settings = dict(kind='safetensors', what=['patches'], fit='stretch', layers=[-1], size=224,
                    folder=folder, weights_sha256='')  # fmt: skip
    listed = []
    for i, images in enumerate(rows.view(-1, 1, 1, cells, rows.shape[1]).chunk(files)):
        names = [f'{i}-{j}.jpg' for j in range(len(images))]
        save_file(dict(patches=images.contiguous()), f'{folder}/{i:05}.safetensors',
                  dict(about=json.dumps(dict(names=names, weights_sha256=''))))  # fmt: skip
        listed.append(dict(name=f'{i:05}.safetensors', images=len(images), unreadable=[]))
    manifest = dict(settings=settings, files=listed)
    Path(folder, 'manifest.json').write_text(json.dumps(manifest))
    return PatchBank(folder)


def main():
    args = parse_args()
    with tempfile.TemporaryDirectory() as folder:
        compare(args, folder)


def compare(args, folder):
    torch.set_num_threads(args.threads)
    generator = torch.Generator().manual_seed(0)
    parts = 2 if args.hybrid else 1
    bank, queries = (
        [torch.randn(number, args.width, generator=generator) for _ in range(parts)]
        for number in (args.bank, args.queries)
    )
    rows = bank
    if args.stored:
        bank = [store(bank[0], folder)]
        if args.no_faiss:
            rows = None  # nothing but the files
    before, found = peak_gib(), {}

    def ours():
        found['ours'] = nearest_neighbours(bank, queries, args.k, args.device)

    runs = [ours]
    if not args.no_faiss:
        import faiss

        faiss.omp_set_num_threads(args.threads)
        known, wanted = (
            torch.nn.functional.normalize(torch.cat(each, 1), dim=1).numpy()
            for each in (rows, queries)
        )
        index = faiss.IndexFlatIP(args.width * parts)
        index.add(known)

        def theirs():
            found['faiss'] = index.search(wanted, args.k)

        runs.append(theirs)
    times = in_turns(runs, args.repeats, 1, args.device)
    results = dict(
        queries=args.queries, bank=args.bank, width=args.width * parts, k=args.k,
        stored=args.stored, machine=platform.machine(), threads=args.threads,
        torch=torch.__version__,
        seconds=times.tolist(), peak_gib=peak_gib(), features_gib=before,
    )  # fmt: skip
    print(
        f'{args.queries} queries in {args.bank} × {args.width * parts}, k = {args.k}, '
        f'{args.device}: peak {peak_gib():.2f} GiB ({before:.2f} GiB before the search)'
    )
    if not args.no_faiss:
        spread = ratio(times[:, 0], times[:, 1])
        same = (found['ours'][1].cpu() == torch.from_numpy(found['faiss'][1])).double().mean()
        results |= dict(faiss=faiss.__version__, ratio=spread._asdict(), same=same.item())
        print(
            f'ours / faiss {faiss.__version__} = {spread}; {100 * same:.4f} % the same neighbours'
        )
    if args.out is not None:
        args.out.write_text(json.dumps(results, indent=2) + '\n')


if __name__ == '__main__':
    main()
