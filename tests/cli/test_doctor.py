import json

import pytest

from xlprompt.cli import doctor
from xlprompt.cli.doctor import Finding
from xlprompt.training.tracker import MlflowTracker

CHECKS = ["python", "packages", "device", "bfloat16", "memory", "disk", "store", "gemma-3-270m", "hub"]


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
