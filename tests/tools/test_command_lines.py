"""What is mistyped on the command lines of training and testing, before anything is built."""

import os
import runpy
import sys
from pathlib import Path

import pytest
import torch

from mmc_plugin.engine import cli

TOOLS = Path(__file__).resolve().parents[2] / 'tools'
PRE, SEG = 'mmc/vits_in100_500e.py', 'segmentation/vits_camvid_linear.py'
# Tool and arguments → what the last line says.
MISTAKES = {
    'train.py': 'the following arguments are required: config',
    f'train.py {PRE} --workdir a': 'unrecognized arguments: --workdir a',
    f'train.py {PRE} --launcher torchrun': "invalid choice: 'torchrun'",
    f'train.py {PRE} --strict-config maybe': "invalid choice: 'maybe'",
    f'train.py {PRE} --local-rank first': "invalid int value: 'first'",
    f'train.py {PRE} --cfg-options': 'expected at least one argument',
    f'train.py {PRE} --cfg-options lr': '--cfg-options takes KEY=VALUE, got lr',
    f'train.py {PRE} --cfg-options =3': '--cfg-options takes KEY=VALUE, got =3',
    f'train.py {PRE} --cfg-options a=[1,': 'the brackets or quotes of a=[1, do not match',
    f'train.py {PRE} --cfg-options lr = 3': '--cfg-options takes KEY=VALUE, got lr',
    f'train.py {PRE} {SEG}': f'unrecognized arguments: {SEG}',
    'train.py mmc/vits_in100.py': 'the config mmc/vits_in100.py is neither a file here nor one',
    'train.py .': 'the config . is neither a file here nor one',
    'train.py model.pth': 'the config model.pth cannot be read: ',
    'train.py notes.txt': 'the config notes.txt cannot be read: ',
    'train.py empty.py': 'describes no training: it has no model',
    f'train.py {PRE} --resume gone.pth': 'the checkpoint gone.pth to resume from does not exist',
    f'train.py {PRE} --resume notes.txt': 'notes.txt cannot be resumed from: ',
    f'train.py {PRE} --work-dir notes.txt': 'the path of a folder, and not of a file',
    f'train.py {PRE} --cfg-options load_from=gone.pth': 'the checkpoint gone.pth does not exist',
    f'train.py {PRE} --auto-scale-lr --cfg-options auto_scale_lr=None': 'needs auto_scale_lr=',
    f'train.py {SEG} --cfg-options optim_wrapper=None': 'training: it has no optim_wrapper',
    f'train.py {SEG} --cfg-options train_cfg=None': 'training: it has no train_cfg',
    'train.py zero_shot/vit_coco.py': 'describes no training: it has no train_dataloader',
    f'train.py {PRE} --cfg-options train_cfg.max_epochs=5': 'leaves nothing after the 10 epochs',
    f'train.py {PRE} --amp --cfg-options optim_wrapper.type=ApexOptimWrapper': '--amp cannot be',
    f'test.py {SEG}': 'the following arguments are required: checkpoint',
    f'test.py {SEG} gone.pth': 'the checkpoint gone.pth does not exist',
    f'test.py {SEG} model.pth --out-item metrics': '--out-item needs --out',
    f'test.py {SEG} model.pth --out-item all': "invalid choice: 'all'",
    f'test.py {SEG} model.pth --interval often': "invalid int value: 'often'",
    f'test.py {PRE} model.pth': 'describes no test: it has no test_dataloader',
    f'test.py {PRE} model.pth --resume': 'unrecognized arguments: --resume',
    'test.py zero_shot/random_vits_coco.py model.pth': 'loads no weights: write none',
    f'test.py {SEG} sound.pth --show-dir a --cfg-options default_hooks.visualization=None': (
        '--show-dir needs a visualization hook'
    ),
    f'test.py {SEG} notes.txt': 'notes.txt',
}


@pytest.mark.parametrize('line, words', MISTAKES.items())
def test_mistakes_are_said_in_one_line(line, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, 'environ', dict(os.environ, LOCAL_RANK='0'))
    Path('notes.txt').write_text('a note')
    Path('model.pth').write_bytes(b'\x80\x02}q\x00.')
    torch.save({}, 'sound.pth')
    Path('empty.py').touch()
    tool, *arguments = line.split()
    monkeypatch.setattr(sys, 'argv', [tool, *arguments])
    with pytest.raises(SystemExit) as stop, cli.one_sentence_errors():
        module = runpy.run_path(str(TOOLS / tool))
        module['build_config'](module['parse_args']())
    assert stop.value.code == 2
    said = capsys.readouterr().err.splitlines()
    assert words in said[-1] and 'error' in said[-1]
    assert len([one for one in said if 'error' in one]) == 1
