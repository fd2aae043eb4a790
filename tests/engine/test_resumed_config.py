"""A resumed run has the settings that it had, but for those that are changed."""

import pytest
from mmengine.config import Config

from mmc_plugin.engine import cli
from mmc_plugin.engine.resumed_config import load_resumed_config
from mmc_plugin.errors import InputError

TEXT = """
train_cfg = dict(max_epochs=10)
load_from = 'start.pth'
steps = [dict(a=1), dict(a=2)]
optim_wrapper = dict(accumulative_counts=1)
auto_scale_lr = dict(base_batch_size=256)
"""
GIVEN = ['train_cfg.max_epochs=8', 'steps.1.a=5', 'optim_wrapper.accumulative_counts=4']


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'mine.py').write_text(TEXT)
    return 'mine.py'


def start(config, **changes):
    """What tools/train.py does before its runner writes the config."""
    cfg = cli.load_config(config, GIVEN, work_dir='run', strict=False)
    cfg.auto_scale_lr.base_batch_size /= cfg.optim_wrapper.accumulative_counts
    cfg.update(changes)
    (cli.Path('run')).mkdir()
    cfg.dump('run/mine.py')


def load(config, options=None, work_dir='run'):
    return load_resumed_config(config, options, 'none', work_dir, strict=False)


def test_word_for_word(config, capsys):
    start(config)
    expected = cli.load_config(config, GIVEN, work_dir='run', strict=False)
    assert load(config)._cfg_dict == expected._cfg_dict
    assert capsys.readouterr().out == '--resume: the settings of run/mine.py, unchanged.\n'
    load(config, GIVEN)
    assert 'unchanged' in capsys.readouterr().out


def test_options_change_it_and_are_listed(config, capsys):
    start(config)
    cfg = load(config, ['train_cfg.max_epochs=16', 'steps.1.a=5', 'steps.0.a=3', 'note=x'])
    assert (cfg.train_cfg.max_epochs, cfg.steps) == (16, [dict(a=3), dict(a=5)])
    assert capsys.readouterr().out == (
        '--resume: the settings of run/mine.py, changed by --cfg-options: train_cfg.max_epochs '
        '8 → 16; steps.0.a 1 → 3; note is new → x.\n'
    )


def test_accumulated_iterations_are_counted_once(config):
    start(config)
    assert load(config).auto_scale_lr.base_batch_size == 256
    assert load(config, ['optim_wrapper.accumulative_counts=2']).auto_scale_lr == dict(
        base_batch_size=256
    )
    assert load(config, ['auto_scale_lr.base_batch_size=32']).auto_scale_lr.base_batch_size == 32


@pytest.mark.parametrize(
    'options, expected', [([], 'start.pth'), (['load_from=other.pth'], 'other.pth')]
)
def test_the_checkpoint_of_the_last_resume_is_forgotten(config, options, expected):
    start(config, resume=True, load_from='run/epoch_3.pth')
    assert load(config, options).load_from == expected


def test_the_work_dir_is_found_as_for_a_new_run(config, capsys):
    start(config)
    assert load(config, ['work_dir=run'], None).train_cfg.max_epochs == 8
    cli.Path('work_dirs').mkdir()
    cli.Path('run').rename('work_dirs/mine')
    cfg = load(config, None, None)
    assert (cfg.work_dir, cfg.train_cfg.max_epochs) == ('work_dirs/mine', 8)


def test_without_one_it_is_the_config_itself(config, capsys):
    cfg = load(config, ['train_cfg.max_epochs=3'], 'empty')
    assert (cfg.train_cfg.max_epochs, cfg.work_dir) == (3, 'empty')
    assert capsys.readouterr().out == ''


def test_one_that_cannot_be_read_is_named(config):
    cli.Path('run').mkdir()
    cli.Path('run/mine.py').write_text('a = dict(')
    with pytest.raises(
        InputError, match=r'run/mine.py cannot be read: .* of the run to resume: move it away'
    ):
        load(config)


def test_a_real_config_comes_back_as_it_was(tmp_path):
    """All that the package's own config holds survives being written and read, and is accepted."""
    data = f'train_dataloader.dataset.data_root={tmp_path}'
    first = cli.load_config('mmc/vits_folder.py', [data], work_dir=str(tmp_path))
    (tmp_path / 'vits_folder.py').write_text(first.pretty_text)
    again = load_resumed_config('mmc/vits_folder.py', None, work_dir=str(tmp_path))
    assert isinstance(again, Config) and again._cfg_dict == first._cfg_dict
