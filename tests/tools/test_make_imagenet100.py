"""ImageNet-100 from a small folder in ImageNet's layout."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
IDS = (ROOT / 'mmc_plugin' / 'datasets' / 'imagenet100_wnids.txt').read_text().split()


def run(*arguments, cwd) -> subprocess.CompletedProcess:
    script = ROOT / 'tools' / 'dataset_tools' / 'make_imagenet100.py'
    return subprocess.run(
        [sys.executable, str(script), *map(str, arguments)],
        cwd=cwd,
        env={'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def imagenet(tmp_path) -> Path:
    """The hundred classes and two others, one file each and split."""
    root = tmp_path / 'an ImageNet'
    for split in ('train', 'val'):
        for name in [*IDS, 'n00000001', 'n00000002']:
            (root / split / name).mkdir(parents=True)
            (root / split / name / f'{name}_1.JPEG').write_text(f'{split} {name}')
    return root


@pytest.mark.parametrize('how', ['symlink', 'hardlink', 'copy'])
def test_subset_shows_the_same_files_and_a_second_run_makes_nothing(how, imagenet, tmp_path):
    done = run(imagenet.name, 'sub set', '--how', how, cwd=tmp_path)
    assert done.returncode == 0 and '200 folders new' in done.stdout, done.stderr
    out = tmp_path / 'sub set'
    for split in ('train', 'val'):
        assert sorted(path.name for path in (out / split).iterdir()) == sorted(IDS)
        for name in IDS:
            file = out / split / name / f'{name}_1.JPEG'
            assert file.read_text() == f'{split} {name}'
            same = file.samefile(imagenet / split / name / file.name)
            assert same == (how != 'copy')
            assert (out / split / name).is_symlink() == (how == 'symlink')
    assert [path.name for path in out.iterdir() if path.name.startswith('.')] == []
    done = run(imagenet.name, 'sub set', '--how', how, cwd=tmp_path)
    assert done.returncode == 0 and ' 0 folders new' in done.stdout


def test_what_is_gone_is_made_again(imagenet, tmp_path):
    run(imagenet, 'out', cwd=tmp_path)
    (tmp_path / 'out' / 'val' / IDS[5]).unlink()
    assert ' 1 folders new' in run(imagenet, 'out', cwd=tmp_path).stdout


def test_missing_classes_are_refused_in_a_sentence_before_anything_is_made(imagenet, tmp_path):
    for name in IDS[:4]:
        (imagenet / 'val' / name).rename(tmp_path / name)
    done = run(imagenet, 'out', cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith('error: ') and 'Traceback' not in done.stderr
    assert f'lacks 4 of the 100 classes ({", ".join(IDS[:3])}, ...)' in done.stderr
    assert not (tmp_path / 'out').exists()


def test_missing_split_and_foreign_link_are_refused(imagenet, tmp_path):
    done = run(tmp_path / 'none', 'out', cwd=tmp_path)
    assert done.returncode == 2 and 'none/train does not exist' in done.stderr
    folder = tmp_path / 'out' / 'train'
    folder.mkdir(parents=True)
    (folder / IDS[0]).symlink_to(tmp_path)
    done = run(imagenet, 'out', cwd=tmp_path)
    assert done.returncode == 2 and 'remove it' in done.stderr
