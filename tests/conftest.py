"""What tests share: an offline environment, tiny models, and the real benchmark samples where they are."""

import os
import signal
from pathlib import Path

# Before anything imports transformers or datasets: no test may reach for a hub.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

import pytest  # noqa: E402
import tiny  # noqa: E402

# A shell starts background jobs with Ctrl-C ignored, and children inherit that. Tests of Ctrl-C need it.
signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).resolve().parents[1]
BENCHMARK_DATA = Path(os.environ.get("XLPROMPT_BENCHMARK_DATA", REPOSITORY.parent / "shared" / "data"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with integration tests first: begun last, one of them would keep a single core busy."""
    longer = {item.path for item in items if item.get_closest_marker("integration")}
    items.sort(key=lambda item: item.path not in longer)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tests out of the user's cache; one cache serves a whole session."""
    monkeypatch.setenv("XLPROMPT_CACHE", str(tmp_path_factory.getbasetemp() / "xlprompt-cache"))


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
