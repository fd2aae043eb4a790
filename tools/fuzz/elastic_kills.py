"""Kill processes of an elastic run of two, and see that it comes to what one unharmed comes to.

Examples:
    python tools/fuzz/elastic_kills.py --number 20 --seed 1
    python tools/fuzz/elastic_kills.py --number 20 --seed 1 --world changing

Each kill (SIGKILL) meets a training process or one of its data workers, drawn at random, in the
start-up or some iterations later; ``torchrun`` starts all of them anew, and they go on from the
newest checkpoint, which may be of the middle of an epoch.

- ``--world same``: one ``tools/dist_train.sh`` of two processes. The losses of each iteration, of
  every time that it was done, and the last checkpoint are compared, to the bit, with those of a
  run that was never killed.
- ``--world changing``: two of them with ``NNODES=1:2``, one process each, as on two machines. Every
  other kill takes the second with all that it has started; the first goes on alone, and later
  another second joins it. Samples are counted: each once in each epoch, whoever trained on it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from kills import BATCH, ITERS, differences, losses, prepare
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

from mmc_plugin.engine.loops import SAMPLES_DONE

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ITERS * BATCH
EPOCHS = 20
LONGEST = 300  # seconds between two kills, on a machine that does other things too
# Batches of two, so that what is left of an epoch can always be shared. The last ones of an epoch
# are trained on, too.
CONFIG = """
_base_ = ['killed.py']
custom_imports = dict(imports=['mmc_plugin', 'elastic_kills'])
custom_hooks = [dict(type='SampleNotes')]
train_dataloader = dict(batch_size=2, drop_last=False)
train_cfg = dict(max_epochs={epochs})
auto_scale_lr = dict(enable=True)  # else mmengine refuses another number of processes
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=4))  # an epoch of two has six
"""
# Instead of Python: notes which process is of which launcher.
NOTE = """#!/bin/sh
echo $PPID >"$NOTES/pid_$$"
exec {python} "$@"
"""


@HOOKS.register_module()
class SampleNotes(Hook):
    """Notes where a process goes on, and each batch that it trains on, in ``$NOTES``."""

    def before_train(self, runner: Runner) -> None:
        """Note the epoch, and how many of its samples are done."""
        self._file = Path(os.environ['NOTES']) / f'samples_{os.getpid()}'
        self._write(runner, world=runner.world_size)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict) -> None:
        """Note the images, and how many of the epoch are done with them."""
        self._write(runner, samples=[each.sample_idx for each in data_batch['data_samples']])

    def _write(self, runner: Runner, **note) -> None:
        done = runner.message_hub.runtime_info.get(SAMPLES_DONE, 0)
        note = dict(note, time=time.time(), epoch=runner.epoch, done=done)
        with open(self._file, 'a') as file:
            file.write(json.dumps(note) + '\n')


class Launched:
    """A ``tools/dist_train.sh`` and what it has started."""

    def __init__(self, config: Path, work_dir: Path, processes: int, **environment: str) -> None:
        notes = work_dir / 'notes'
        notes.mkdir(parents=True, exist_ok=True)
        program = notes / 'python'
        program.write_text(NOTE.format(python=sys.executable))
        program.chmod(0o700)
        self.log = work_dir / 'printed.txt'
        command = ['bash', str(ROOT / 'tools' / 'dist_train.sh'), str(config), str(processes)]
        paths = [str(Path(__file__).parent), os.environ.get('PYTHONPATH')]
        environment = dict(
            os.environ, PYTHON=sys.executable, PYTHON_EXEC=str(program), NOTES=str(notes),
            PYTHONPATH=os.pathsep.join(filter(None, paths)), OMP_NUM_THREADS='1', **environment,
        )  # fmt: skip
        self._command = [*command, '--resume', '--work-dir', str(work_dir)]
        self._environment, self._notes = environment, notes
        self._start()

    def _start(self) -> None:
        with open(self.log, 'a') as out:
            self.run = subprocess.Popen(
                self._command, stdout=out, stderr=out, env=self._environment,
                start_new_session=True,
            )  # fmt: skip

    def again(self) -> Launched:
        """Start it anew, after its end."""
        self._start()
        return self

    def processes(self, workers: bool) -> list[int]:
        """The training processes that are alive, and their data workers."""
        found = []
        for path in self._notes.glob('pid_*'):
            with suppress(FileNotFoundError, ProcessLookupError, ValueError):
                process = int(path.name.removeprefix('pid_'))
                if int(path.read_text()) == self.run.pid and _parent(process) == self.run.pid:
                    found.append(process)
                    if workers:
                        children = Path(f'/proc/{process}/task/{process}/children').read_text()
                        found += map(int, children.split())
        return found

    def kill(self) -> None:
        """Kill it with all that it has started, as if its machine were lost."""
        for process in (self.run.pid, *self.processes(workers=True)):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self.run.wait()

    def check(self) -> None:
        """Refuse a launcher that has given up."""
        if self.run.poll():
            raise SystemExit(f'the run fails with exit code {self.run.returncode}: see {self.log}')


def _parent(process: int) -> int:
    return int(Path(f'/proc/{process}/stat').read_text().rpartition(')')[2].split()[1])


def notes(work_dir: Path) -> list[dict]:
    """What all processes have noted, in the order of time."""
    found = []
    for path in work_dir.glob('notes/samples_*'):
        lines = path.read_text().splitlines(keepends=True)
        found += [json.loads(line) for line in lines if line.endswith('\n')]  # else killed there
    return sorted(found, key=lambda note: note['time'])


def counted(work_dir: Path) -> dict[int, Counter]:
    """Epoch → how often each image was trained on, in the iterations that count.

    Those do not that a later start went back behind: no trace of them is in the weights.
    """
    epochs: dict[int, Counter] = {}
    earliest = (EPOCHS, 0)  # of the places that later starts went on from
    for note in reversed(notes(work_dir)):
        place = note['epoch'], note['done']
        if 'world' in note:
            earliest = min(earliest, place)
        elif place <= earliest:
            epochs.setdefault(note['epoch'], Counter()).update(note['samples'])
    return epochs


def miscounted(work_dir: Path) -> list[str]:
    """What is not each image once in each epoch, in words."""
    once, found = Counter(range(IMAGES)), counted(work_dir)
    wrong = [epoch for epoch in range(EPOCHS) if found.get(epoch) != once]
    return [f'images of the epochs {wrong}: {[found.get(epoch) for epoch in wrong]}'] * bool(wrong)


def wait_for(draw: random.Random, work_dir: Path, launched: list[Launched]) -> bool:
    """Wait until some time of the start-up, or some iterations after it; whether there was one."""
    begin, before = time.time(), len(notes(work_dir))
    iterations = draw.choice((0, draw.randint(1, 16)))
    seconds = draw.uniform(0, 10) if iterations == 0 else draw.uniform(0, 0.1)
    while time.time() < begin + LONGEST:
        time.sleep(0.01)
        if launched[0].run.poll() is not None:
            return False
        steps = [note for note in notes(work_dir)[before:] if 'samples' in note]
        if len(steps) >= iterations:
            time.sleep(seconds)
            return launched[0].run.poll() is None
    raise SystemExit(f'the run stands still: see {launched[0].log}')


def kill_one(draw: random.Random, launched: list[Launched]) -> bool:
    """Kill a process, or a data worker; whether there was one."""
    processes = [each for one in launched for each in one.processes(workers=True)]
    if not processes:
        return False
    with suppress(ProcessLookupError):
        os.kill(draw.choice(processes), signal.SIGKILL)
        return True
    return False


def free_port() -> str:
    """A port that nobody listens at."""
    with socket.socket() as found:
        found.bind(('127.0.0.1', 0))
        return str(found.getsockname()[1])


def wait_for_port(port: int, launched: Launched) -> None:
    """Wait until a launcher listens there."""
    while True:
        launched.check()
        with socket.socket() as found:
            if found.connect_ex(('127.0.0.1', port)) == 0:
                return
        time.sleep(0.1)


def launch(config: Path, work_dir: Path, changing: bool, restarts: int) -> list[Launched]:
    """Start one launcher of two processes, or two of one each."""
    environment = dict(MAX_RESTARTS=str(restarts), PORT=free_port())
    if not changing:
        return [Launched(config, work_dir, 2, **environment)]
    environment['NNODES'] = '1:2'
    first = Launched(config, work_dir, 1, **environment)
    wait_for_port(int(environment['PORT']), first)  # it keeps what they meet by
    return [first, Launched(config, work_dir, 1, **environment)]


def lose_second(draw: random.Random, work_dir: Path, launched: list[Launched]) -> None:
    """Take the second launcher away, and put another in its place when the first goes on alone."""
    second = launched.pop()
    second.kill()
    begin = time.time()
    while launched[0].run.poll() is None and time.time() < begin + LONGEST:
        time.sleep(0.1)
        if any(n.get('world') == 1 and n['time'] > begin for n in notes(work_dir)):
            break
    if draw.random() < 0.5:
        wait_for(draw, work_dir, launched)
    launched.append(second.again())


def one_run(
    config: Path, work_dir: Path, draw: random.Random, most: int, changing: bool
) -> Counter:
    """Kill a run at most so often, until its end.

    Returns:
        Counter: ``kills``, ``machines`` (those of a launcher) and ``relaunched``: how often
        torchrun gave up and was started by hand, as where a launcher is lost while they meet.
    """
    counts = Counter()
    launched = launch(config, work_dir, changing, most + 1)
    try:
        while True:
            code = launched[0].run.poll()
            if code and changing:
                for each in launched:
                    each.kill()
                counts['relaunched'] += 1
                launched = launch(config, work_dir, changing, most + 1)
            elif code is not None:
                launched[0].check()
                return counts
            elif counts['kills'] == most:
                time.sleep(0.1)
            elif wait_for(draw, work_dir, launched):
                if changing and counts['kills'] % 2:
                    counts.update(kills=1, machines=1)
                    lose_second(draw, work_dir, launched)
                else:
                    counts['kills'] += kill_one(draw, launched)
                print(f'{counts["kills"]} kills, {time.strftime("%X")}', flush=True)
    finally:
        for each in launched:
            each.kill()


def main(argv: list[str] | None = None) -> None:
    """Kill and print a summary; the exit code is 1 if a run did not come to the same."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--number', type=int, default=20, help='times to kill')
    parser.add_argument('--seed', type=int, default=0, help='of when to kill what')
    parser.add_argument(
        '--world', choices=['same', 'changing'], default='same',
        help='one machine of two processes, or two machines of which one comes and goes',
    )  # fmt: skip
    parser.add_argument('--keep', type=Path, help='an empty folder for the runs; else they go')
    args = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and end what was launched
    draw, counts, changing = random.Random(args.seed), Counter(), args.world == 'changing'
    with tempfile.TemporaryDirectory() as temporary:
        folder = (args.keep or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        prepare(folder)
        config, whole = folder / 'elastic.py', folder / 'whole'
        config.write_text(CONFIG.format(epochs=EPOCHS))
        if not changing:
            one_run(config, whole, draw, 0, changing)
            faults = miscounted(whole)
            if faults or not losses(whole):
                raise SystemExit(f'the run that is not killed is wrong: {faults}')
        while counts['kills'] < args.number:
            work_dir = folder / str(counts['runs'])
            counts += one_run(config, work_dir, draw, args.number - counts['kills'], changing)
            faults = miscounted(work_dir) + ([] if changing else differences(work_dir, whole))
            counts['runs'] += 1
            counts['failed'] += bool(faults)
            for fault in faults:
                print(f'{work_dir}: {fault}', flush=True)
    print(
        f'killed {counts["kills"]} times, {counts["machines"]} of them with the launcher, of which '
        f'{counts["relaunched"]} had to be started by hand: '
        f'{counts["runs"]} runs at their end, {counts["failed"]} failed'
    )
    sys.exit(counts['failed'] > 0)


if __name__ == '__main__':
    main()
