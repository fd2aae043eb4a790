"""Time of the protocols of tools/evaluate_all.py over that of the forwards that are in them.

Each protocol whose data is there runs as the tool runs it, with the features that it shares, but in
this process, so that the imports of each run (some 10 seconds) are not counted. The floor is the
time inside the backbone's forward, summed over the images; both are read from the wall clock of
the same run, so anything beside the backbone counts: reading, resizing, scores, pictures, files.

Example:
    COCO_ROOT=/path/to/coco DAVIS_ROOT=/path/to/davis2017 DATA_ROOT=/path/to/folder \\
        python tools/benchmarks/evaluate_all.py checkpoint.pth --protocols knn retrieval video
"""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from mmengine.logging import MMLogger
from timing import WALL, clock, timed

from mmc_plugin.engine import cli
from mmc_plugin.models import PretrainedViT

sys.path.insert(0, str(cli.ROOT / 'tools'))
import evaluate_all
import test as test_tool


class ForwardClock:
    """Sums the seconds that backbones take."""

    def __init__(self):
        self.seconds = self.start = 0.0
        self.device = 'cuda' if torch.cuda.is_available() else WALL

    def begin(self, module, arguments):
        if isinstance(module, PretrainedViT):
            self.start = clock(self.device)

    def end(self, module, arguments, outputs):
        if isinstance(module, PretrainedViT):
            self.seconds += clock(self.device) - self.start


def measure(protocol, checkpoint, folder, shared):
    """Seconds of a protocol and of the forwards in it."""
    options = list(protocol.options)
    if protocol.shares_features:
        options.append(f'test_cfg.cache_dir={shared}')
    config = evaluate_all.config_for(protocol, checkpoint, allow_pickle=False)
    command = [config, checkpoint, '--work-dir', str(folder)]
    forwards = ForwardClock()
    handles = [
        torch.nn.modules.module.register_module_forward_pre_hook(forwards.begin),
        torch.nn.modules.module.register_module_forward_hook(forwards.end),
    ]

    def run():
        args = test_tool.parse_args([*command, *(['--cfg-options', *options] if options else [])])
        cfg = test_tool.build_config(args)
        cli.prepare_launch(cfg)
        test_tool.test(cfg, args)

    seconds, _ = timed(run, WALL)
    for handle in handles:
        handle.remove()
    return seconds, forwards.seconds


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('checkpoint', help='of any format that load_backbone reads')
    parser.add_argument('--protocols', nargs='+', help='only these, as of tools/evaluate_all.py')
    parser.add_argument('--threads', type=int, default=1, help='threads on a CPU')
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    MMLogger.get_current_instance().setLevel('ERROR')
    times = {}
    with cli.one_sentence_errors(), TemporaryDirectory() as folder:
        for protocol in evaluate_all.choose(args.protocols):
            if protocol.trains or evaluate_all.missing(protocol) is not None:
                continue
            run = Path(folder) / protocol.name.replace('/', '_')
            times[protocol.name] = measure(protocol, args.checkpoint, run, Path(folder) / 'shared')
            whole, forwards = times[protocol.name]
            print(f'{protocol.name}: {whole:.1f} s, forwards {forwards:.1f} s', flush=True)
    whole, forwards = map(sum, zip(*times.values(), strict=True))
    print(f'all: {whole:.1f} s over {forwards:.1f} s of forwards = {whole / forwards:.3f}')


if __name__ == '__main__':
    main()
