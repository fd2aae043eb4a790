"""The precision is the device's best, whatever else runs on the machine and in every process."""

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.distributed as dist

if __name__ == '__main__':
    import precision
else:
    from mmc_plugin.engine import precision

FILE = Path(precision.__file__)
WORLD = 2
X86 = platform.machine() in ('x86_64', 'AMD64')
# What oneDNN and ATen do on such a processor that has AVX2 and no more.
AVX2 = dict(ONEDNN_MAX_CPU_ISA='AVX2', ATEN_CPU_CAPABILITY='avx2')


@pytest.fixture(autouse=True)
def measure_anew():
    precision.bf16_speedup.cache_clear()
    yield
    precision.bf16_speedup.cache_clear()


@pytest.fixture
def gpu(monkeypatch):
    """Pretend to have a GPU of a compute capability; torch emulates bf16 on older ones."""

    def gpu(*capability, bf16=True):
        monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda: capability)
        monkeypatch.setattr(torch.cuda, 'get_device_name', lambda: 'Acme 1')
        monkeypatch.setattr(torch.cuda, 'is_bf16_supported', lambda: bf16)

    return gpu


@pytest.mark.parametrize(
    'capability, expected',
    [((7, 0), 'fp16'), ((7, 5), 'fp16'), ((8, 0), 'bf16'), ((8, 9), 'bf16'), ((12, 0), 'bf16')],
)
def test_a_gpu_is_judged_by_its_compute_capability(gpu, capability, expected):
    gpu(*capability)
    chosen, reason = precision.choose_precision('cuda')
    assert chosen == expected
    assert reason == 'Acme 1 has compute capability {}.{}'.format(*capability)


@pytest.mark.parametrize('speedup, expected', [(0.03, 'fp32'), (0.9, 'fp32'), (2.0, 'bf16')])
def test_a_cpu_is_judged_by_what_was_measured(monkeypatch, speedup, expected):
    monkeypatch.setattr(precision, 'bf16_speedup', lambda: speedup)
    chosen, reason = precision.choose_precision('cpu')
    assert chosen == expected and f'{1 / speedup:.2g} times as long' in reason


def test_other_devices_get_fp32():
    assert precision.choose_precision('mps')[0] == 'fp32'
    assert precision.choose_precision('npu')[0] == 'fp32'


def test_what_a_device_cannot_do(gpu):
    gpu(7, 5)
    assert precision.why_not('bf16', 'cuda') is None
    assert 'capability 7.5' in precision.why_not('bf16', 'cuda', emulation=False)
    gpu(6, 1, bf16=False)
    assert 'capability 6.1' in precision.why_not('bf16', 'cuda')
    assert precision.why_not('fp16', 'cuda') is None
    gpu(8, 0)
    assert precision.why_not('bf16', 'cuda', emulation=False) is None
    assert 'needs a GPU' in precision.why_not('fp16', 'cpu')
    assert precision.why_not('bf16', 'cpu', emulation=False) is None
    assert 'mps' in precision.why_not('fp16', 'mps')
    assert all(precision.why_not('fp32', device) is None for device in ('cpu', 'cuda', 'mps'))


@pytest.mark.parametrize('factor', [1.25, 1 / 1.25])
def test_noise_does_not_change_a_clear_choice(monkeypatch, factor):
    """Bf16 is 1.25 times as fast or as slow; half of the products are interrupted."""
    rng = np.random.default_rng(0)
    seconds = {torch.float32: 1e-3, torch.bfloat16: 1e-3 / factor}

    def noisy(dtype, size):
        interrupted = rng.exponential(5e-3) if rng.random() < 0.5 else 0
        return seconds[dtype] * rng.uniform(1, 1.05) + interrupted

    monkeypatch.setattr(precision, 'time_product', noisy)
    choices = set()
    for _ in range(200):
        precision.bf16_speedup.cache_clear()
        choices.add(precision.choose_precision('cpu')[0])
    assert choices == {'bf16' if factor > 1 else 'fp32'}


def test_measured_once_in_a_process(monkeypatch):
    calls = []
    monkeypatch.setattr(precision, 'time_product', lambda *args: calls.append(args) or 1.0)
    for _ in range(3):
        precision.choose_precision('cpu')
    assert len(calls) == 20
    assert {dtype for dtype, _ in calls} == {torch.float32, torch.bfloat16}


def test_more_threads_get_larger_matrices(monkeypatch):
    sizes = []
    monkeypatch.setattr(precision, 'time_product', lambda _, size: sizes.append(size) or 1.0)
    monkeypatch.setattr(torch, 'get_num_threads', lambda: 8)
    precision.bf16_speedup()
    assert set(sizes) == {256, 512}  # 8 times the work
    # Nothing large where bf16 is slow, and may know no threads.
    sizes.clear()
    precision.bf16_speedup.cache_clear()
    monkeypatch.setattr(
        precision, 'time_product', lambda d, size: sizes.append(size) or 1 + 9 * (d.itemsize == 2)
    )
    assert precision.bf16_speedup() == 0.1 and set(sizes) == {256}


def test_a_slow_product_is_not_repeated_for_long(monkeypatch):
    clock = [0.0]

    def product(dtype, size):
        seconds = 0.05 if dtype is torch.bfloat16 else 1e-3  # 0.7 and 34 GFLOP/s
        clock[0] += seconds
        return seconds

    monkeypatch.setattr(precision, 'time_product', product)
    monkeypatch.setattr(precision, 'time', SimpleNamespace(perf_counter=lambda: clock[0]))
    assert precision.bf16_speedup() == pytest.approx(0.02)
    assert clock[0] < 0.3


def test_the_measurement_leaves_the_random_stream_alone():
    state = torch.get_rng_state()
    precision.bf16_speedup()
    assert torch.equal(torch.get_rng_state(), state)
    began = time.perf_counter()
    precision.bf16_speedup()
    assert time.perf_counter() - began < 1e-3


def work(rank: int, folder: Path) -> None:
    """What one process does. The first measures; the second would take bf16."""
    dist.init_process_group('gloo', f'file://{folder}/store', rank=rank, world_size=WORLD)
    if rank == 1 or not X86:
        precision.bf16_speedup = lambda: (0.1, 2.0)[rank]
    alone, together = precision.choose_precision('cpu'), precision.agreed_precision('cpu')
    (folder / f'{rank}.json').write_text(json.dumps([alone, together]))
    time.sleep(0.2)  # as end_launch of engine/cli.py, which takes long to import
    dist.destroy_process_group()


def test_all_processes_take_what_the_first_measures(tmp_path):
    environment = dict(
        os.environ,
        PYTHONPATH=str(FILE.parent),  # without the package, which takes long to import
        OMP_NUM_THREADS='1',
        **AVX2,
    )
    processes = [
        subprocess.Popen([sys.executable, __file__, str(rank), str(tmp_path)], env=environment)
        for rank in range(WORLD)
    ]
    try:
        assert [process.wait(timeout=240) for process in processes] == [0] * WORLD
    finally:
        for process in processes:
            process.kill()
    found = [json.loads((tmp_path / f'{rank}.json').read_text()) for rank in range(WORLD)]
    assert [alone[0] for alone, _ in found] == ['fp32', 'bf16']
    assert found[0][1] == found[1][1] == found[0][0]


if __name__ == '__main__':
    work(int(sys.argv[1]), Path(sys.argv[2]))
