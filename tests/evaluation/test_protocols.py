"""The table of protocols against the configs that it names."""

import pytest

from mmc_plugin.engine.cli import ROOT
from mmc_plugin.engine.config_files import read_config
from mmc_plugin.evaluation.protocols import PROTOCOLS, Figure

ALL = pytest.mark.parametrize('protocol', PROTOCOLS, ids=lambda each: each.name)


def roots(part):
    """All folders of data in a config."""
    parts = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    found = [part['data_root']] if isinstance(part, dict) and 'data_root' in part else []
    return found + [each for inner in parts for each in roots(inner)]


@ALL
def test_configs_read_their_data_from_where_it_is_looked_for(protocol, monkeypatch):
    if protocol.config.startswith(('segmentation', 'part_segmentation')):
        pytest.importorskip('mmseg')
    path = str(ROOT / 'configs' / protocol.config)
    for value, expected in ((None, protocol.default), ('/else/where', '/else/where')):
        monkeypatch.delenv(protocol.variable, raising=False)
        if value:
            monkeypatch.setenv(protocol.variable, value)
        cfg = read_config(path)
        found = roots(cfg.test_dataloader.to_dict())
        assert found and all(each.startswith(expected) for each in found), found
        trains = cfg.get('train_dataloader') is not None
        assert trains == protocol.trains and (cfg.get('checkpoint_key') is None) == trains


def test_names_are_unique_and_numbers_are_found():
    assert len({each.name for each in PROTOCOLS}) == len(PROTOCOLS)
    numbers = dict(a=dict(b=0.25), c=None)
    assert Figure('', ('a', 'b'), scale=100).value(numbers) == 25
    assert Figure('', ('a', 'x')).value(numbers) is None
    assert Figure('', ('c', 'b')).value(numbers) is None and Figure('', ('c',)).value({}) is None
