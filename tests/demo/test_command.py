"""python -m mmc_plugin.demo, up to the point where it serves."""

import socket
from pathlib import Path

import pytest

from mmc_plugin.demo import __main__ as command
from mmc_plugin.errors import RunError

pytest.importorskip('gradio')

from starlette.testclient import TestClient


def test_the_first_free_port_is_taken():
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        port = taken.getsockname()[1]
        taken.listen()
        with pytest.raises(RunError, match=f'No port is free at 127.0.0.1 .*{port}.* --port'):
            command.free_port('127.0.0.1', port)
    assert command.free_port('127.0.0.1', port) == port
    assert command.free_port('127.0.0.1', 0) > 0
    assert 7860 <= command.free_port('127.0.0.1', None) < 7880


@pytest.mark.parametrize('port', [-1, 70000])
def test_a_port_that_is_none_is_refused(port):
    with pytest.raises(RunError, match='name one with --port'):
        command.free_port('127.0.0.1', port)


@pytest.mark.parametrize(
    'arguments, words',
    [
        (['nothing.pth'], 'nothing.pth does not exist'),
        (['README.md'], 'README.md'),
        ([], 'There is no checkpoint below work_dirs or '),
    ],
)
def test_what_cannot_be_shown_is_said_in_a_sentence(
    arguments, words, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'README.md').write_text('no checkpoint')
    monkeypatch.setattr('mmc_plugin.demo.networks.find_reference', lambda: None)
    monkeypatch.setattr('mmc_plugin.demo.networks.RUNS', [Path('work_dirs'), tmp_path / 'other'])
    monkeypatch.setattr('uvicorn.run', lambda *_, **__: pytest.fail('it serves'))
    with pytest.raises(SystemExit) as error:
        command.main([*arguments, '--device', 'cpu'])
    assert error.value.code == 2
    printed = capsys.readouterr().err
    assert words in printed and 'Traceback' not in printed


def test_it_listens_on_this_machine_alone_unless_told_otherwise(tiny_run, monkeypatch, capsys):
    served = {}
    monkeypatch.setattr('uvicorn.run', lambda app, **settings: served.update(settings))
    command.main([str(tiny_run), '--device', 'cpu', '--port', '0'])
    assert served['host'] == '127.0.0.1'
    assert f'http://127.0.0.1:{served["port"]} ' in capsys.readouterr().out
    command.main([str(tiny_run), '--device', 'cpu', '--host', '0.0.0.0', '--port', '0'])
    assert served['host'] == '0.0.0.0'


@pytest.mark.parametrize(
    'address, served, refused',
    [
        ('127.0.0.1', ['localhost', '127.0.0.1:7860', '[::1]:7860'], ['evil.example', '10.0.0.5']),
        ('10.0.0.5', ['10.0.0.5:7860', 'localhost'], ['10.0.0.6', 'localhost.evil.example:7860']),
        ('fd00::1', ['[fd00::1]:7860', 'localhost'], ['evil.example']),
        ('my-machine', ['my-machine:7860', '127.0.0.1'], ['evil.example']),
        ('0.0.0.0', ['10.0.0.5', 'my-machine:7860'], []),  # whose names are unknown
        ('::', ['[fd00::1]', 'my-machine'], []),
    ],
)
def test_a_foreign_name_for_this_machine_is_refused(
    address, served, refused, tiny_run, monkeypatch
):
    apps = []
    monkeypatch.setattr('uvicorn.run', lambda app, **_: apps.append(app))
    monkeypatch.setattr(command, 'free_port', lambda *_: 7860)
    command.main([str(tiny_run), '--device', 'cpu', '--host', address])
    client = TestClient(apps[0])
    for host, status in [*((each, 200) for each in served), *((each, 400) for each in refused)]:
        for path in ('/robots.txt', '/'):
            assert client.get(path, headers=dict(host=host)).status_code == status, host
