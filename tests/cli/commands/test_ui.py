import socket

import pytest

from xlprompt.cli.commands import ui


@pytest.fixture
def taken():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_that_is_taken_is_named_with_a_way_out(xlprompt, taken, tmp_path):
    result = xlprompt("ui", "--port", taken, "--mlruns", tmp_path)
    assert result.exit_code == 1
    assert f"Port {taken} is taken" in result.stderr
    assert "--port" in result.stderr


def test_without_a_port_the_first_free_one_is_taken(taken, monkeypatch):
    monkeypatch.setattr(ui, "FIRST_PORT", taken)
    assert taken < ui._choose_port(None) < taken + ui.PORTS_TRIED


def test_a_server_that_stops_by_itself_is_reported_with_its_last_messages(xlprompt, tmp_path, monkeypatch):
    server = tmp_path / "python"
    server.write_text("#!/bin/sh\necho out of luck >&2\nexit 7\n")
    server.chmod(0o755)
    monkeypatch.setattr(ui.sys, "executable", str(server))
    result = xlprompt("ui", "--mlruns", tmp_path)
    assert result.exit_code == 1
    assert "stopped by itself (exit code 7)" in result.stderr
    assert result.stderr.splitlines()[-1] == "out of luck"
