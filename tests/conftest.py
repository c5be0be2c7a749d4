"""What tests share: an offline environment, tiny models, and the real benchmark samples where they are."""

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

# Before anything imports transformers or datasets: no test may reach for a hub.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ.pop("MLFLOW_TRACKING_URI", None)  # a developer's server is none of theirs
# As where the environment is activated: messages name commands as they are typed.
os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))

import pytest  # noqa: E402
import tiny  # noqa: E402
from simulated_studies import POS, by_resources, make_runs  # noqa: E402

from xlprompt.data import tasks  # noqa: E402
from xlprompt.evaluation import Comparison, compare  # noqa: E402
from xlprompt.training import create_store  # noqa: E402
from xlprompt.training.store import database  # noqa: E402

# A shell starts background jobs with Ctrl-C ignored, and children inherit that. Tests of Ctrl-C need it.
signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).resolve().parents[1]
BENCHMARK_DATA = Path(os.environ.get("XLPROMPT_BENCHMARK_DATA", REPOSITORY.parent / "shared" / "data"))


def pytest_xdist_auto_num_workers() -> int:
    """Run one process more than there are cores, as many tests wait: for Slurm, a server or a browser."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with integration tests first: begun last, one of them would keep a single core busy."""
    longer = {item.path for item in items if item.get_closest_marker("integration")}
    items.sort(key=lambda item: item.path not in longer)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tests out of the user's cache; one cache serves a whole session."""
    monkeypatch.setenv("XLPROMPT_CACHE", str(tmp_path_factory.getbasetemp() / "xlprompt-cache"))


@pytest.fixture(autouse=True)
def own_tasks_of_its_own() -> Iterator[None]:
    """Forget the own tasks that a test has met: which are known depends on no other test."""
    known = dict(tasks._KNOWN)
    yield
    tasks._KNOWN.clear()
    tasks._KNOWN.update(known)


@pytest.fixture(scope="session")
def benchmark_data() -> Path:
    """Folder of real XNLI, PAWS-X, PAN-X and UD samples; skips where it is absent."""
    if not BENCHMARK_DATA.is_dir():
        pytest.skip(f"no benchmark samples at {BENCHMARK_DATA} (set XLPROMPT_BENCHMARK_DATA to their folder)")
    return BENCHMARK_DATA


@pytest.fixture(scope="session")
def tiny_xglm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny XGLM with random weights, as a folder."""
    return tiny.make_xglm(tmp_path_factory.mktemp("xglm"))


@pytest.fixture(scope="session")
def tiny_gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Gemma 3 with random weights, as a folder."""
    return tiny.make_gemma(tmp_path_factory.mktemp("gemma"))


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama with random weights, as a folder."""
    return tiny.make_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session", autouse=True)
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store without a run, to be copied, as what this process makes is: MLflow takes a second for one."""
    folder = tmp_path_factory.mktemp("empty") / "mlruns"
    create_store(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "make_database", partial(shutil.copyfile, database.database_file(folder)))
        yield folder


@pytest.fixture
def new_store(tmp_path: Path, empty_store: Path) -> Path:
    """A store of its own for each test: creating a schema takes seconds, copying it none."""
    return Path(shutil.copytree(empty_store, tmp_path / "mlruns"))


@pytest.fixture
def store(new_store: Path) -> Path:
    """The store of a test; a module's own, with runs for all its tests, may stand in its place."""
    return new_store


@pytest.fixture(scope="session")
def studied() -> dict:
    """Runs by task: prompts win where resources are low in xnli, and lose everywhere in pos."""
    pos = make_runs(-15.0, task="pos", languages=POS)
    return {**make_runs(by_resources(12.0, 0.0)), **pos}


@pytest.fixture(scope="session")
def comparison(studied: dict) -> Comparison:
    """Of these runs."""
    return compare(studied, samples=300)
