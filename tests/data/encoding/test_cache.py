"""The cache of encodings: when it is used, when not, and that nothing damaged ever comes out of it."""

import contextlib
import errno
import json
import multiprocessing
import shutil
from multiprocessing.synchronize import Barrier
from pathlib import Path

import datasets
import pytest
import tiny
from datasets import Dataset
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from xlprompt.data import task
from xlprompt.data.encoding.cache import Entry, load_or_build
from xlprompt.data.encoding.encode import Encoded, encode
from xlprompt.data.fingerprints import fingerprint_of, rows_fingerprint, tokenizer_fingerprint
from xlprompt.data.tokens.settings import EncodingSettings

POS = task("pos")


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One tokenizer to load several times: training it anew, or copying it, moves its scores' last digits."""
    folder = tmp_path_factory.mktemp("tokenizer")
    tiny.xglm_tokenizer().save_pretrained(folder)
    return folder


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def tokenizer(tokenizer_folder: Path) -> PreTrainedTokenizerFast:
    return load_tokenizer(tokenizer_folder)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return Dataset.from_dict(
        {
            "tokens": [line.split() for line in tiny.CORPUS],
            "tags": [[3] * len(line.split()) for line in tiny.CORPUS],
        }
    )


def tokenizing_is_over(*_: object) -> list[list[int]]:
    raise AssertionError("encoded again")


def entries(cache_dir: Path) -> list[str]:
    return sorted(path.name for path in cache_dir.iterdir())


def test_a_second_encoding_comes_from_the_cache(
    tokenizer: PreTrainedTokenizerFast, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = encode(data, POS, tokenizer, EncodingSettings())
    first = encode(data, POS, tokenizer, EncodingSettings(), cache_dir=tmp_path / "made" / "on demand")
    monkeypatch.setattr("xlprompt.data.tasks.kinds.classification.tokenize_texts", tokenizing_is_over)
    second = encode(data, POS, tokenizer, EncodingSettings(), cache_dir=tmp_path / "made" / "on demand")
    for encoded in (first, second):
        assert encoded.dataset.to_dict() == fresh.dataset.to_dict()
        assert encoded.dataset.features == fresh.dataset.features
        assert encoded.gold() == fresh.gold()
        assert (encoded.fingerprint, encoded.truncated) == (fresh.fingerprint, fresh.truncated)
    assert entries(tmp_path / "made" / "on demand") == [fresh.fingerprint]


def test_the_count_of_cut_examples_survives_the_cache(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    data = Dataset.from_dict({"tokens": [["w" * 100], ["a"]], "tags": [[0], [1]]})
    for _ in range(2):
        assert (
            encode(data, POS, tokenizer, EncodingSettings(max_length=16), cache_dir=tmp_path).truncated == 1
        )


def test_everything_that_changes_the_rows_changes_the_fingerprint(
    tokenizer: PreTrainedTokenizerFast, tokenizer_folder: Path, data: Dataset
) -> None:
    def fingerprint(
        rows: Dataset = data,
        tokenizer: PreTrainedTokenizerFast = tokenizer,
        language: str = "en",
        origin: str | None = None,
        **settings: object,
    ) -> str:
        return encode(
            rows, POS, tokenizer, EncodingSettings(**settings), language=language, fingerprint=origin
        ).fingerprint

    larger = load_tokenizer(tokenizer_folder)
    larger.add_tokens(["station"])
    other_tags = Dataset.from_dict({**data.to_dict(), "tags": [[4] * len(tags) for tags in data["tags"]]})
    changed = [
        fingerprint(),
        fingerprint(rows=data.select(range(3))),
        fingerprint(rows=data.select(range(7, -1, -1))),
        fingerprint(rows=other_tags),
        fingerprint(tokenizer=tiny.bpe_tokenizer()),
        fingerprint(tokenizer=larger),
        fingerprint(language="zh"),
        fingerprint(origin="revision 2"),
        fingerprint(max_length=64),
        fingerprint(label_on="first"),
    ]
    assert len(set(changed)) == len(changed)
    assert fingerprint(language="de") == fingerprint()
    assert fingerprint(rows=data.add_column("note", ["x"] * len(data))) == fingerprint()
    assert fingerprint(tokenizer=load_tokenizer(tokenizer_folder)) == fingerprint()


def test_a_tokenizers_fingerprint_ignores_its_last_call_and_notices_new_tokens(
    tokenizer: PreTrainedTokenizerFast, tokenizer_folder: Path
) -> None:
    before = tokenizer_fingerprint(tokenizer)
    used = load_tokenizer(tokenizer_folder)
    used(["a", "b c d"], padding=True, truncation=True, max_length=2, split_special_tokens=True)
    assert tokenizer_fingerprint(used) == before
    used.add_tokens(["a new one"])
    assert tokenizer_fingerprint(used) != before


def test_rows_hash_the_same_whether_sliced_or_copied(data: Dataset) -> None:
    part = data.select(range(2, 6))
    fresh = Dataset.from_dict(part.to_dict())
    scattered = data.select([2, 3, 4, 5][::-1]).select([3, 2, 1, 0])
    hashes = {rows_fingerprint(rows, ["tokens", "tags"]) for rows in (part, fresh, scattered)}
    assert len(hashes) == 1


def test_the_fingerprint_of_parts_is_the_same_in_every_process() -> None:
    # Pinned: another value here means that every existing cache entry and finished run is orphaned.
    assert fingerprint_of({"b": [1, None, "ü"], "a": 0.5}) == (
        "6e29431e58eea586998631a819ba3dfbf59f14e04f470c1c80a169c056914cd7"
    )


def damage_middle_of_rows(folder: Path) -> None:
    (path,) = folder.glob("rows/*.arrow")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def cut_rows(folder: Path) -> None:
    (path,) = folder.glob("rows/*.arrow")
    path.write_bytes(path.read_bytes()[:-64])


def lose_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def cut_manifest(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text()[:20])


def empty_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text("null")


def lose_state(folder: Path) -> None:
    (folder / "rows" / "state.json").unlink()


def lose_rows(folder: Path) -> None:
    shutil.rmtree(folder / "rows")


def manifest_of_nothing(folder: Path) -> None:
    shutil.rmtree(folder / "rows")
    (folder / "manifest.json").write_text(json.dumps({"facts": {}, "files": {}}))


@pytest.mark.parametrize(
    "damage",
    [
        damage_middle_of_rows,
        cut_rows,
        lose_manifest,
        cut_manifest,
        empty_manifest,
        lose_state,
        lose_rows,
        manifest_of_nothing,
    ],
)
def test_a_damaged_entry_is_removed_and_built_again(
    damage: object,
    tokenizer: PreTrainedTokenizerFast,
    data: Dataset,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def run() -> Encoded:
        return encode(data, POS, tokenizer, EncodingSettings(), cache_dir=tmp_path)

    good = run()
    expected = good.dataset.to_dict()
    damage(tmp_path / good.fingerprint)
    assert run().dataset.to_dict() == expected
    assert "damaged cache entry" in caplog.text
    caplog.clear()
    assert run().dataset.to_dict() == expected
    assert not caplog.records
    assert entries(tmp_path) == [good.fingerprint]


def test_a_failing_build_leaves_nothing_behind(tmp_path: Path) -> None:
    def build() -> Entry:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        load_or_build(tmp_path, "name", build)
    assert entries(tmp_path) == []


def test_a_failing_write_is_said_once_costs_the_entry_alone_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(Dataset, "save_to_disk", full)
    for name in ("one", "two"):
        rows, _ = load_or_build(tmp_path, name, lambda: (Dataset.from_dict({"a": [1]}), {}))
        assert rows["a"][:] == [1]
    assert entries(tmp_path) == []
    assert caplog.text.count("No space left") == 1


def test_who_comes_second_takes_the_entry_of_who_came_first(tmp_path: Path) -> None:
    def slow_build() -> Entry:
        load_or_build(tmp_path, "name", lambda: (Dataset.from_dict({"a": [1]}), {"by": "first"}))
        return Dataset.from_dict({"a": [1]}), {"by": "second"}

    _, facts = load_or_build(tmp_path, "name", slow_build)
    assert facts == {"by": "first"}
    assert entries(tmp_path) == ["name"]


def test_an_entry_that_was_in_the_way_and_is_gone_again_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_the_way(self: Path, target: Path) -> Path:
        raise OSError(errno.ENOTEMPTY, "Directory not empty", str(self), None, str(target))

    monkeypatch.setattr(Path, "rename", in_the_way)
    rows, facts = load_or_build(tmp_path, "name", lambda: (Dataset.from_dict({"a": [1]}), {"by": "me"}))
    assert (rows["a"][:], facts) == ([1], {"by": "me"})
    assert entries(tmp_path) == []


def test_writing_an_entry_shows_no_progress_bar_and_leaves_the_setting(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for disabled in (False, True):
        (datasets.disable_progress_bars if disabled else datasets.enable_progress_bars)()
        load_or_build(tmp_path, f"name {disabled}", lambda: (Dataset.from_dict({"a": [1]}), {}))
        assert datasets.are_progress_bars_disabled() is disabled
    datasets.enable_progress_bars()
    assert capfd.readouterr().err == ""


def _use_cache(cache_dir: Path, barrier: Barrier) -> None:
    rows = Dataset.from_dict({"a": list(range(5000))})
    for turn in range(6):
        barrier.wait(timeout=60)
        for _ in range(2):
            found, facts = load_or_build(cache_dir, f"entry {turn}", lambda: (rows, {"fact": 1}))
            assert (found["a"][:], facts) == (rows["a"][:], {"fact": 1})
            # Whoever still finds the entry damages it for the others.
            with contextlib.suppress(FileNotFoundError):
                (cache_dir / f"entry {turn}" / "manifest.json").write_text("{")


@pytest.mark.integration
def test_processes_that_build_and_damage_the_same_entries_at_once_all_get_whole_ones(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")  # a fresh interpreter would take seconds to import datasets
    barrier = context.Barrier(4)
    processes = [context.Process(target=_use_cache, args=(tmp_path, barrier)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
    assert [process.exitcode for process in processes] == [0] * 4
    assert all(not name.startswith(".") for name in entries(tmp_path))
