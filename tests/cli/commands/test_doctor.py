import json
import os
import sqlite3
from contextlib import closing

import pytest

from xlprompt.cli.commands import doctor
from xlprompt.cli.commands.doctor import Finding
from xlprompt.training.store.mlflow_tracker import MlflowTracker

CHECKS = [
    "python",
    "packages",
    "device",
    "bfloat16",
    "memory",
    "disk",
    "store",
    "gemma-3-270m",
    "smollm2-135m",
    "hub",
]


@pytest.fixture
def complete(monkeypatch):
    """The environment counts as complete, however the tests are run."""
    monkeypatch.setattr(doctor, "check_packages", lambda: Finding("packages", "ok", "all"))


def test_every_check_is_reported_without_touching_the_store(xlprompt, complete, tmp_path):
    result = xlprompt("doctor", "--mlruns", tmp_path / "mlruns", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["healthy"] is True
    assert {check["name"] for check in report["checks"]} >= set(CHECKS)
    assert not (tmp_path / "mlruns").exists()


def test_the_store_is_told_by_end_state_and_a_running_run_is_pointed_out(tmp_path):
    for state in ("FINISHED", "FAILED", None):
        tracker = MlflowTracker(tmp_path)
        tracker.start(experiment="xnli", run_name="run", params={}, tags={})
        if state:
            tracker.end(state)
    found = doctor.check_store(tmp_path)
    assert found.status == "note"
    assert "1 FAILED, 1 FINISHED, 1 RUNNING" in found.detail


def test_a_store_that_is_no_database_is_missing_with_a_way_out(tmp_path):
    (tmp_path / "mlflow.db").write_text("not a database, but long enough to look like a damaged one" * 20)
    found = doctor.check_store(tmp_path)
    assert found.status == "missing"
    assert found.fix


def make_store(folder):
    MlflowTracker(folder)
    return folder / "mlflow.db"


def locked(database):
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    return connection


def changed(database, statement):
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(statement)


@pytest.mark.parametrize(
    ("damage", "detail", "fix"),
    [
        (locked, "database is locked", "Close the program that has it open"),
        (lambda database: database.write_bytes(b"x" * 5000), "file is not a database", "name another store"),
        (
            lambda database: database.write_bytes(database.read_bytes()[:5000]),
            "cannot be used",
            "another store",
        ),
        (
            lambda database: changed(database, "UPDATE alembic_version SET version_num = 'abc'"),
            "abc",
            "upgrade",
        ),
        (lambda database: changed(database, "DROP TABLE runs"), "it is no MLflow store", "another store"),
        (
            lambda database: changed(database, "DROP TABLE alembic_version"),
            "no MLflow store",
            "another store",
        ),
        (lambda database: database.unlink() or database.mkdir(), "unable to open", "writable"),
        (
            lambda database: database.unlink() or database.symlink_to("nowhere/a"),
            "no such file",
            "was it moved",
        ),
    ],
)
def test_a_store_that_nothing_can_use_is_not_ok(tmp_path, damage, detail, fix):
    held = damage(make_store(tmp_path))
    found = doctor.check_store(tmp_path)
    assert found.status == "missing"
    assert detail in found.detail
    assert fix in found.fix
    if isinstance(held, sqlite3.Connection):
        held.close()


def test_a_place_where_no_store_can_be_made_is_not_ok(tmp_path):
    (tmp_path / "file").touch()
    found = doctor.check_store(tmp_path / "file" / "mlruns")
    assert (found.status, found.detail) == ("missing", f"none can be made in {tmp_path / 'file'}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_store_that_is_read_only_is_not_ok(tmp_path):
    make_store(tmp_path).chmod(0o444)
    assert doctor.check_store(tmp_path).status == "missing"


def test_an_empty_database_is_filled_at_the_first_use_and_is_ok(tmp_path):
    (tmp_path / "mlflow.db").touch()
    assert doctor.check_store(tmp_path).status == "ok"
    MlflowTracker(tmp_path)


def test_something_missing_makes_exit_code_1_and_says_what_to_do(xlprompt, monkeypatch):
    monkeypatch.setattr(
        doctor,
        "check_packages",
        lambda: Finding("packages", "missing", "torch is not installed", "make setup"),
    )
    result = xlprompt("doctor")
    assert result.exit_code == 1
    assert "torch is not installed" in result.stdout
    assert "-> make setup" in result.stdout


def test_a_requirement_that_is_not_met_is_named(monkeypatch):
    requires = {"xlprompt-data": ["torch>=99", "no-such-package", 'numpy<1 ; extra == "old"']}
    monkeypatch.setattr(doctor.importlib.metadata, "requires", lambda name: requires.get(name, []))
    found = doctor.check_packages()
    assert found.status == "missing"
    assert "is not >=99 (for xlprompt-data)" in found.detail
    assert "no-such-package is not installed" in found.detail
    assert "numpy" not in found.detail


def test_the_hub_is_not_asked_unless_told_to(monkeypatch):
    import huggingface_hub

    def fail(*arguments, **options):
        raise AssertionError("asked the hub")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", fail)
    monkeypatch.setattr("huggingface_hub.constants.is_offline_mode", lambda: False)
    assert doctor.check_hub(online=False).status == "ok"


def test_a_hub_that_cannot_be_reached_is_a_note_with_a_way_out(monkeypatch):
    import huggingface_hub

    def fail(*arguments, **options):
        raise ConnectionError("name not known\nmore")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", fail)
    monkeypatch.setattr("huggingface_hub.constants.is_offline_mode", lambda: False)
    found = doctor.check_hub(online=True)
    assert found.status == "note"
    assert found.detail == "cannot be reached (name not known)"
    assert found.fix


def test_sizes_are_told_in_binary_units(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_bytes(b"x" * 3 * 2**20)
    (tmp_path / "link").symlink_to(tmp_path / "a" / "file")
    assert doctor._size(doctor._bytes_in(tmp_path)) == "3.0 MiB"


def test_a_cache_that_cannot_be_written_is_told_with_the_variable_that_moves_it(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    for variable, name in (("XLPROMPT_CACHE", "xlprompt cache"), ("HF_HUB_CACHE", "hub cache")):
        folder = tmp_path / "file" / "cache"
        monkeypatch.setenv(variable, str(folder))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
        (finding,) = (each for each in doctor.check_caches() if each.name == name)
        assert finding.status == "note"
        assert "cannot be written" in finding.detail
        assert variable in finding.fix
    assert not list(tmp_path.glob("*/*"))


def test_a_model_is_examined_as_training_does(xlprompt, complete, tmp_path, tiny_llama):
    found = json.loads(xlprompt("doctor", "--model", tiny_llama, "--mlruns", tmp_path, "--json").stdout)
    (model,) = (each for each in found["checks"] if each["name"] == "model")
    assert (model["status"], "3 layers of width 32" in model["detail"]) == ("ok", True)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    told = xlprompt("doctor", "--model", tmp_path, "--mlruns", tmp_path)
    assert told.exit_code == 1
    assert "no list of decoder layers" in told.stdout
