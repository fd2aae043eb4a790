"""Each command on a page is run from the page's own text: small, where it is a tool of ours.

The text of a block is run by bash with programs that tell their arguments (blocks.py). What calls
python is then run in earnest, on stand-ins for data and checkpoints (standins.py), with networks,
batches and lengths that are small. What cannot run here is in :data:`PARSED`, with the reason; its
command line is read by its own parser. Other programs are checked in what they are given.
"""

import configparser
import importlib
import io
import os
import re
import runpy
import shlex
import sys
from contextlib import redirect_stderr
from importlib.util import find_spec
from pathlib import Path

import cv2
import pytest
import timm
import torch
from mmengine.config import Config
from mmengine.utils import digit_version
from mmpretrain.registry import MODELS
from torch.distributed.run import get_args_parser

from mmc_plugin.visualization import write_video

from .blocks import CONFIG, PAGES, ROOT, SCRIPT, SHELL, Call, blocks_of, calls_of, plain
from .standins import shrink, write_data, write_releases

BLOCKS = [block for page in PAGES for block in blocks_of(page)]
TRAIN, TEST = 'tools/train.py', 'tools/test.py'
# Programs that are not run: why, and what runs them.
PARSED = {
    'mmc_plugin/demo/__main__.py': 'serves until it is interrupted: tests/demo/test_command.py',
    'tools/quickstart.py': 'trains for minutes: tests/tools/test_quickstart.py',
    'tools/evaluate_all.py': 'starts other processes: tests/tools/test_evaluate_all.py',
    'tools/analysis/compare_runs.py': 'likewise: tests/tools/test_compare_runs.py',
}
BENCHMARK = 'tools/benchmarks/'  # measures for minutes, unless it is told to do less here
NO_ONNX = digit_version(torch.__version__) < digit_version('2.6')  # it cannot be written
# Programs that import what upstream's line has not.
BESIDE = {'tools/benchmarks/demo.py': 'httpx'}
# What a program is told beside the page's arguments.
SMALL = {
    'tools/benchmarks/knn.py': '--bank 300 --queries 9 --repeats 1 --no-faiss',
    'tools/benchmarks/zero_shot_grids.py': '--max-images 1 --grids 32 48:8',
    'tools/benchmarks/finer_masks.py': '--max-images 3 --size 32',
    'tools/benchmarks/shards.py': '--images 8 --batch 4 --latency 0 --entries 99 --repeats 1',
}
# Names of checkpoints on the pages that are one of a small run of MMC here.
OURS = (
    'CHECKPOINT', 'checkpoint.pth', 'vit_s_focus.onnx', 'epoch_500.pth', 'A.pth', 'B.pth',
    'mmc_vits16.pth', 'data/checkpoint', 'work_dirs/vits_in100_500e/epoch_500.pth',
    'work_dirs/vitb_400e/epoch_120.pth', 'work_dirs/vitt_camvid/epoch_20.pth',
)  # fmt: skip
BY_HAND = ('wheel', 'ninja', 'setuptools', 'faiss-cpu')  # to compile, and to compare with
UNKNOWN = '--no-such-option'


class World:
    """A folder with stand-ins for all that the pages name; commands run in it."""

    def __init__(self, folder: Path, photographs: Path, server) -> None:
        self.folder, self.root, self.server = folder / 'work', folder / 'data', server
        self.done: set[tuple[str, ...]] = set()
        for each in (self.folder, self.root, self.folder / 'photos'):
            each.mkdir()
        write_data(self.root, photographs)
        write_releases(self.folder)
        for release in self.folder.glob('dino_*'):
            (self.root / release.name).symlink_to(release)
        for path in ROOT.iterdir():  # a checkout
            if not path.name.startswith('.') and path.name not in ('data', 'work_dirs'):
                (self.folder / path.name).symlink_to(path)
        (self.folder / 'data').symlink_to(self.root)
        (self.root / 'mmc_plugin').symlink_to(ROOT)
        (self.folder / 'folder').symlink_to(photographs)
        first = next(photographs.iterdir())
        write_video(str(self.folder / 'clip.mp4'), [cv2.imread(str(first))] * 3)
        for place, name in enumerate(('photo.jpg', 'a.jpg', 'b.jpg', 'photos/a.jpg')):
            image = cv2.imread(str(sorted(photographs.iterdir())[place]))
            assert cv2.imwrite(str(self.folder / name), cv2.resize(image, (480, 320)))
        self._train()

    def _train(self) -> None:
        """A small run of MMC on photographs: my_config.py, and the checkpoints of the pages."""
        shrink(str(ROOT / 'configs' / 'mmc' / 'vits_folder.py'), self.folder / 'small')
        config = self.folder / 'my_config.py'
        (self.folder / 'small' / 'vits_folder.py').rename(config)
        self.run(ROOT / TRAIN, 'my_config.py')
        run = self.folder / 'work_dirs' / 'my_config'
        self.checkpoint = run / 'epoch_1.pth'
        for name in OURS:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(self.checkpoint)
        (self.folder / 'work_dirs' / 'mine').symlink_to(run)

    def run(self, program: Path, *arguments, variables=()) -> None:
        """Run a program in a fork; it must end well."""
        log = self.folder / 'printed.txt'
        log.unlink(missing_ok=True)
        (code,) = self.server.wait(
            self.server.start(program, arguments, log, dict(variables)), limit=100
        )
        command = shlex.join([str(program), *map(str, arguments)])
        assert code == 0, f'{command}\n{log.read_text()[-3000:]}'

    def parse(self, program: Path, arguments: list[str]) -> None:
        """The program's own parser must miss nothing, and know all but one option of ours."""
        said = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stderr(said):
            patch.syspath_prepend(str(program.parent))  # as Python does
            patch.setattr(sys, 'argv', [str(program), *arguments, UNKNOWN])
            with pytest.raises(SystemExit) as stop:
                if program.parent == ROOT / BENCHMARK:  # they import each other, and register
                    importlib.import_module(program.stem).main()
                else:
                    runpy.run_path(str(program), run_name='__main__')
        last = said.getvalue().strip().splitlines()[-1]
        assert stop.value.code == 2
        assert last.endswith(f': error: unrecognized arguments: {UNKNOWN}'), last

    def provide(self, argument: str) -> None:
        """Files that a longer run would have left are those of the short one."""
        path = self.folder / argument.rpartition('=')[2]
        if path.suffix not in ('.pth', '.json') or path.exists():
            return
        among = path.parent.glob('*.pth')
        if path.name == 'prompt_iou.json':
            among = self.folder.glob('work_dirs/*/*/prompt_iou.json')
        newest = max(among, key=lambda each: each.stat().st_mtime, default=self.checkpoint)
        if 'work_dirs' in path.parts or path.suffix == '.json':
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(newest)

    def build(self, program: Path, arguments: list[str], variables: dict[str, str]) -> None:
        """Read a command line and its config as the program does before it builds anything."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            patch.setattr(os, 'environ', os.environ | variables | dict(LOCAL_RANK='0'))
            patch.setattr(sys, 'argv', [str(program), *arguments])
            module = runpy.run_path(str(program))
            cfg = module['build_config'](module['parse_args']())
            named = re.fullmatch(r'work_dirs/(.+)/(epoch|iter)_(\d+).pth', arguments[1])
            if named and named[1] != 'my_config':  # the last checkpoint of that config's training
                length = cfg.train_cfg['max_epochs' if named[2] == 'epoch' else 'max_iters']
                assert (named[1], int(named[3])) == (Path(arguments[0]).stem, length)

    def shrink(self, path: str, variables: dict[str, str]) -> Path:
        """A small config in the place of another."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            patch.setattr(os, 'environ', os.environ | variables)
            return shrink(path, self.folder / 'small')

    def python(self, call: Call) -> None:
        """A tool of ours is run, or its command line is read."""
        arguments, variables, processes = list(call.arguments), dict(call.variables), 1
        if arguments[:2] == ['-m', 'pytest']:  # which is what runs this
            return
        arguments = arguments[arguments[0] == '-u' :]
        if arguments[:2] == ['-m', 'torch.distributed.run']:
            launch = get_args_parser().parse_args(arguments[2:])
            arguments = [launch.training_script, *launch.training_script_args]
            processes = int(launch.nproc_per_node)
        if arguments[:2] == ['-m', 'mmc_plugin.demo']:
            arguments[:2] = [ROOT / 'mmc_plugin' / 'demo' / '__main__.py']
        program = (self.folder / arguments.pop(0)).resolve()
        name = str(program.relative_to(ROOT))
        data = [
            f'{k}={v}' for k, v in call.variables if k.startswith('MMC_') or k.endswith('_ROOT')
        ]
        key = name, *map(str, arguments), *data
        if key in self.done:  # by another block
            return
        for each in arguments:
            self.provide(each)
        detects = 'configs/detection/' in str(arguments)
        lacking = detects and find_spec('mmdet') is None
        lacking |= NO_ONNX and arguments[-1:] == ['onnx']
        if name in BESIDE:
            pytest.importorskip(BESIDE[name])
        if lacking or (name, arguments[:1]) == (TEST, ['my_config.py']):  # the reader's own
            self.parse(program, arguments)
        elif processes > 1 or '--launcher=slurm' in arguments or 'slurm' in arguments:
            self.build(program, arguments, variables)
        elif detects and name == TEST:  # no run here has left a detector
            self.build(program, arguments, variables)
        elif name in PARSED or name.startswith(BENCHMARK) and name not in SMALL:
            self.parse(program, arguments)
        else:
            if name in (TRAIN, TEST) and arguments[0] != 'my_config.py':
                arguments[0] = self.shrink(arguments[0], variables)
            short = (re.sub(r'^(train_cfg.max_\w+)=.*', r'\1=1', str(each)) for each in arguments)
            self.run(program, *short, *SMALL.get(name, '').split(), variables=variables)
        self.done.add(key)

    def srun(self, call: Call) -> None:
        """Options of Slurm before a tool of ours."""
        place = call.arguments.index('python')
        options = [each for each in call.arguments[:place] if each != 'PARTITION']
        assert all(re.match(r'-p$|--[a-z-]+=', each) for each in options), options
        self.python(Call('python', call.arguments[place + 1 :], call.variables))

    def pip(self, call: Call) -> None:
        """What is installed is this folder, with extras that it has, or one of what it needs."""
        command, *arguments = call.arguments
        assert command == 'install'
        cfg = configparser.ConfigParser()
        cfg.read(ROOT / 'setup.cfg')
        lines = [line for path in (ROOT / 'requirements').glob('*.txt')
                 for line in path.read_text().splitlines()]  # fmt: skip
        for each in arguments:
            own = re.fullmatch(r'(.*?/mmc_plugin|\.|mmc-plugin)(?:\[(\w+)\])?', each)
            if own:
                assert own[1] == 'mmc-plugin' or (self.folder / own[1]).exists()
                assert own[2] is None or cfg.has_option('options.extras_require', own[2])
            elif '==' in each:
                assert any(line.startswith(each) for line in lines), each
            elif not each.startswith('-'):
                name = re.match(r'[\w-]+', each)[0]
                assert any(re.match(rf'{name}\b', line) for line in lines) or name in BY_HAND, each

    def docker(self, call: Call) -> None:
        """An image is made from a file that is there, and run by the name that it was given."""
        command, *options = call.arguments
        if command == 'build':
            assert (self.folder / options[options.index('-f') + 1]).is_file()
            self.done.add(('image', options[options.index('-t') + 1]))
        else:
            assert command == 'run' and ('image', options[-1]) in self.done

    def linted(self, call: Call) -> None:
        """As .ci/run calls it."""
        text = (ROOT / '.ci' / 'run').read_text()
        assert f'-m ruff {shlex.join(call.arguments[:-1])} "$MMC_ROOT"' in text
        assert call.arguments[-1] == '.'

    def mkdocs(self, call: Call) -> None:
        """A command of it."""
        cli = pytest.importorskip('mkdocs.__main__').cli
        cli.commands[call.arguments[0]].make_context('mkdocs', list(call.arguments[1:]))

    def lychee(self, call: Call) -> None:
        """What it reads is there; it needs a network itself."""
        for each in call.arguments:
            assert each.startswith('--') or list(ROOT.glob(each)), each


CHECKS = dict(
    python=World.python, srun=World.srun, pip=World.pip, docker=World.docker, ruff=World.linted,
    mkdocs=World.mkdocs, lychee=World.lychee,
)  # fmt: skip


def test_what_is_not_run_is_tested_elsewhere():
    for reason in PARSED.values():
        assert (ROOT / reason.split()[-1]).is_file()


@pytest.fixture(scope='module')
def world(fork_server, photo_folder, tmp_path_factory):
    return World(tmp_path_factory.mktemp('pages'), photo_folder, fork_server)


@pytest.mark.parametrize('block', [each for each in BLOCKS if each.kind == SHELL], ids=str)
def test_shell(block, world):
    calls = calls_of(block, world.root, world.folder)
    assert calls
    for call in calls:
        CHECKS[call.program](world, call)


PRELUDE = """
import torch
images = torch.rand(2, 3, 224, 224)
tiny = dict(embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=16, _delete_=True)
heads = [f'model.{name}_head' for name in ('rec', 'patch', 'cls')]
small = {'model.backbone.arch': tiny, 'train_dataloader.num_workers': 0}
small |= {f'{head}.in_channels': 16 for head in heads}
small |= {f'{head}.hidden_channels': 8 for head in heads}
"""
SCRIPTS = {page: '\n'.join(each.text for each in BLOCKS if (each.page, each.kind) == (page, SCRIPT))
           for page in PAGES}  # fmt: skip


@pytest.mark.parametrize('page', filter(SCRIPTS.get, PAGES), ids=lambda page: page.stem)
def test_python(page, world):
    """The blocks of a page, one after the other."""
    text = plain(SCRIPTS[page], world.root).replace("device='cuda'", "device='cpu'")
    for name in re.findall(r"'timm:(\S+)'", text):  # it would be downloaded
        assert timm.is_model(name)
        text = text.replace(f'timm:{name}', 'CHECKPOINT')
    text = re.sub(r"'work_dirs/mine', (.*), epochs=\d+", r"'work_dirs/own', \1, epochs=1, "
                  'options=small', text)  # fmt: skip
    script = world.folder / f'{page.stem}.py'
    script.write_text(f'{PRELUDE}\n{text}')
    world.run(script)


# Configs that other tests train with.
TRAINED = {
    'openmmlab.md': ROOT / 'tests' / 'docs' / 'test_snippets.py',
    'segmentation.md': ROOT / 'tests' / 'segmentation' / 'test_runs.py',
}


@pytest.mark.parametrize('block', [each for each in BLOCKS if each.kind == CONFIG], ids=str)
def test_config(block, world):
    """A config is trained with, here as a part of a small one, or its backbone is built."""
    if block.page.name in TRAINED:
        test = TRAINED[block.page.name].read_text()
        assert f"'docs' / '{block.page.name}'" in test
        assert block.text.startswith('_base_ = ') or f"'{block.text.split()[1][:-1]}'" in test
        return
    text = plain(block.text, world.root)
    if 'backbone = ' in text:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(world.folder)
            backbone = MODELS.build(Config.fromstring(text, '.py').backbone)
            backbone.init_weights()
        assert backbone.source.format
    else:
        config = world.folder / 'with_hooks.py'
        data = "train_dataloader = dict(dataset=dict(data_root='data/train'))"  # with classes
        config.write_text(f"_base_ = ['my_config.py']\n{data}\n{text}")
        world.run(ROOT / TRAIN, config, '--work-dir', f'work_dirs/{block.page.stem}')


# Options that pages name in a line and that are another program's.
OTHERS = {
    '--co', '--durations',  # pytest
    '--davis_path', '--results_path', '--task',  # the evaluation of DAVIS
    '--logdir',  # tensorboard
    '--no-deps',  # pip
    '--rdzv-backend',  # torchrun
    '--signal',  # Slurm
}  # fmt: skip
SOURCES = {
    str(path.relative_to(ROOT)): path.read_text(encoding='utf-8')
    for folder in ('tools', 'mmc_plugin/demo') for path in (ROOT / folder).rglob('*')
    if path.suffix in ('.py', '.sh')
}  # fmt: skip


@pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_within_a_line(page):
    """Programs, their options, configs and tests that stand in a line of text exist."""
    text = page.read_text(encoding='utf-8')
    for line in re.findall(r'`([^`\n]+)`', re.sub(r'^ *```.*?^ *```', '', text, flags=re.M | re.S)):
        for path in re.findall(r'(?<![\w/.-])(?:tools|configs|tests)/[\w/.-]+\.(?:py|sh)\b', line):
            assert (ROOT / path).is_file(), line
        named = re.match(r'(?:\w+=\S+ )*(?:bash |python )?(tools/\S+\.(?:py|sh))\b', line)
        known = [SOURCES[named[1]]] if named else list(SOURCES.values())
        if named and named[1].endswith('.sh'):  # which call the programs of Python
            known += [source for path, source in SOURCES.items() if path.endswith('.py')]
        for option in re.findall(r'(?<![\w-])--[a-z][\w-]*', line):
            word = re.compile(rf'{option}(?![\w-])')
            assert option in OTHERS or any(map(word.search, known)), (line, option)
