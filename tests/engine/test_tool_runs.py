import sys

import pytest

from mmc_plugin.engine import tool_runs


@pytest.fixture
def tool(tmp_path, monkeypatch):
    (tmp_path / 'tools').mkdir()
    (tmp_path / 'tools' / 'say.py').write_text(
        'import importlib.util, os, sys\nassert importlib.util.find_spec("mmc_plugin")\n'
        'print(os.environ["WORD"], *sys.argv[1:])\n'
        'print("the last line", file=sys.stderr)\nsys.exit(int(sys.argv[1]))\n'
    )
    monkeypatch.setattr(tool_runs, 'ROOT', tmp_path)
    monkeypatch.setattr(sys, 'argv', ['x'])
    log = tmp_path / 'log.txt'
    return lambda *arguments: (
        tool_runs.run_tool(log, 'say.py', *arguments, environment=dict(WORD='hello')),
        log.read_text(),
    )


def test_success_is_none_and_failure_the_last_line(tool):
    assert tool(0, 'a b') == (None, 'hello 0 a b\nthe last line\n')
    problem, log = tool(3)
    assert problem.startswith('failed (the last line; see ') and problem.endswith('log.txt)')
    assert log.count('hello') == 2


def test_an_interruption_goes_on_up(tool):
    with pytest.raises(SystemExit) as ended:
        tool(130)
    assert ended.value.code == 130
