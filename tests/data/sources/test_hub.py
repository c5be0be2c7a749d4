"""The hub source with the network edge replaced: ids lead to local folders in the hub's layout and schema."""

from collections.abc import Callable
from pathlib import Path

import datasets
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from xlprompt.data import TASKS, DataError, open_source, task
from xlprompt.data.sources import hub

UPOS = [
    "NOUN",
    "PUNCT",
    "ADP",
    "NUM",
    "SYM",
    "SCONJ",
    "ADJ",
    "PART",
    "DET",
    "CCONJ",
    "PROPN",
    "PRON",
    "X",
    "_",
    "ADV",
    "INTJ",
    "VERB",
    "AUX",
]
SCHEMAS = {
    "facebook/xnli": Features(
        {
            "premise": Value("string"),
            "hypothesis": Value("string"),
            "label": ClassLabel(names=["entailment", "neutral", "contradiction"]),
        }
    ),
    "google-research-datasets/paws-x": Features(
        {
            "id": Value("int32"),
            "sentence1": Value("string"),
            "sentence2": Value("string"),
            "label": ClassLabel(names=["0", "1"]),
        }
    ),
    "unimelb-nlp/wikiann": Features(
        {
            "tokens": List(Value("string")),
            "ner_tags": List(ClassLabel(names=["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"])),
            "langs": List(Value("string")),
            "spans": List(Value("string")),
        }
    ),
    "universal-dependencies/universal_dependencies": Features(
        {
            "idx": Value("string"),
            "text": Value("string"),
            "tokens": List(Value("string")),
            "lemmas": List(Value("string")),
            "upos": List(ClassLabel(names=UPOS)),
            "xpos": List(Value("string")),
            "feats": List(Value("string")),
            "head": List(Value("string")),
            "deprel": List(Value("string")),
            "deps": List(Value("string")),
            "misc": List(Value("string")),
        }
    ),
}


class LocalHub:
    """Repositories as folders, one a revision; every call is recorded."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.calls: list[tuple[str, str | None, str, str]] = []
        self._load = datasets.load_dataset

    def add(
        self, repository: str, config: str, split: str, rows: dict, revision: str = "main",
        features: Features | None = None,
    ) -> None:  # fmt: skip
        folder = self.root / repository / revision.replace("/", "-")
        table = Dataset.from_dict(rows, features=features or SCHEMAS[repository])
        file = folder / config / (f"{split}/0000.parquet" if "convert" in revision else f"{split}-0.parquet")
        file.parent.mkdir(parents=True, exist_ok=True)
        table.to_parquet(file)
        if "convert" not in revision:
            configs = sorted(path.name for path in folder.iterdir() if path.is_dir())
            card = "".join(f"- config_name: {name}\n  data_dir: {name}\n" for name in configs)
            (folder / "README.md").write_text(f"---\nconfigs:\n{card}---\n")

    def load_dataset(
        self, path: str, name: str | None = None, *, split: str, revision: str, data_dir: str | None = None
    ) -> Dataset:
        self.calls.append((path, name or data_dir, split, revision))
        folder = self.root / path / revision.replace("/", "-")
        if not folder.is_dir():
            raise RuntimeError(f"Dataset scripts are no longer supported, but found {Path(path).name}.py")
        cache = self.root / "cache"
        return self._load(str(folder), name, split=split, data_dir=data_dir, cache_dir=str(cache))


@pytest.fixture
def local_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalHub:
    local = LocalHub(tmp_path)
    monkeypatch.setattr(datasets, "load_dataset", local.load_dataset)
    return local


def test_xnli_is_asked_for_by_id_configuration_split_and_revision(local_hub):
    rows = {"premise": ["a", "b"], "hypothesis": ["c", "d"], "label": [2, 0]}
    local_hub.add("facebook/xnli", "en", "train", rows)
    local_hub.add("facebook/xnli", "sw", "train", {**rows, "label": [1, 1]})
    loaded = open_source("hub").load(task("xnli"), "en", "train")
    assert loaded.to_dict() == {"id": ["0", "1"], "first": ["a", "b"], "second": ["c", "d"], "label": [2, 0]}
    assert local_hub.calls == [("facebook/xnli", "en", "train", "main")]


def test_labels_are_mapped_by_name_and_not_by_number(local_hub):
    names = ["contradiction", "entailment", "neutral"]
    features = Features({**SCHEMAS["facebook/xnli"], "label": ClassLabel(names=names)})
    rows = {"premise": ["a", "b", "c"], "hypothesis": ["d", "e", "f"], "label": [0, 1, 2]}
    local_hub.add("facebook/xnli", "en", "test", rows, features=features)
    assert open_source("hub").load(task("xnli"), "en", "test")["label"] == [2, 0, 1]


def test_bare_label_numbers_are_refused_because_nothing_says_their_order(local_hub):
    features = Features({**SCHEMAS["facebook/xnli"], "label": Value("int64")})
    local_hub.add(
        "facebook/xnli",
        "en",
        "test",
        {"premise": ["a"], "hypothesis": ["b"], "label": [0]},
        features=features,
    )
    with pytest.raises(DataError, match=r"facebook/xnli/en:1: unknown label '0'"):
        open_source("hub").load(task("xnli"), "en", "test")


@pytest.mark.parametrize("label", [ClassLabel(names=["0", "1"]), Value("string"), Value("int64")], ids=str)
def test_pawsx_labels_are_numbers_by_name_in_any_type_and_untranslated_pairs_are_left_out(local_hub, label):
    features = Features({**SCHEMAS["google-research-datasets/paws-x"], "label": label})
    rows = {"id": [1, 2, 3, 4], "sentence1": ["a", "NS", "", "d"], "sentence2": ["e", "NS", "g", "h"]}
    rows["label"] = ["0", "1", "1", "1"] if label == Value("string") else [0, 1, 1, 1]
    local_hub.add("google-research-datasets/paws-x", "de", "test", rows, features=features)
    loaded = open_source("hub").load(task("pawsx"), "de", "test")
    assert loaded.to_dict() == {"id": ["1", "4"], "first": ["a", "d"], "second": ["e", "h"], "label": [0, 1]}


def test_wikiann_tags_are_mapped_by_name(local_hub):
    rows = {
        "tokens": [["Dar", "es", "x"]],
        "ner_tags": [[5, 6, 0]],
        "langs": [["sw"] * 3],
        "spans": [["LOC: Dar es"]],
    }
    local_hub.add("unimelb-nlp/wikiann", "sw", "validation", rows)
    loaded = open_source("hub").load(task("ner"), "sw", "validation")
    assert loaded.to_dict() == {"id": ["0"], "tokens": [["Dar", "es", "x"]], "tags": [[5, 6, 0]]}


def ud_rows(tokens: list[str], upos: list[str], head: list[str]) -> dict:
    filler = [["_"] * len(tokens)]
    return {
        "idx": ["s-1"],
        "text": [" ".join(tokens)],
        "tokens": [tokens],
        "upos": [[UPOS.index(tag) for tag in upos]],
        "head": [head],
        **{name: filler for name in ("lemmas", "xpos", "feats", "deprel", "deps", "misc")},
    }


def test_pos_leaves_out_multiword_ranges_and_empty_nodes(local_hub):
    # The hub's rows have every line of the CoNLL-U file; an empty node may have a tag, but has no head.
    rows = ud_rows(
        ["don't", "do", "n't", "go", "go"],
        ["_", "AUX", "PART", "VERB", "VERB"],
        ["None", "4", "4", "0", "None"],
    )
    local_hub.add("universal-dependencies/universal_dependencies", "en_ewt", "test", rows)
    loaded = open_source("hub").load(task("pos"), "en", "test")
    labels = task("pos").labels
    assert loaded["tokens"] == [["do", "n't", "go"]]
    assert [labels[tag] for tag in loaded["tags"][0]] == ["AUX", "PART", "VERB"]
    assert loaded["id"] == ["s-1"]
    assert local_hub.calls[0][1] == "en_ewt", "a single treebank, never a mixture chosen by language name"


def test_a_repository_that_is_still_a_script_is_taken_from_the_hubs_parquet_conversion(local_hub):
    rows = ud_rows(["Ναι"], ["INTJ"], ["0"])
    local_hub.add(
        "universal-dependencies/universal_dependencies",
        "el_gdt",
        "test",
        rows,
        revision="refs/convert/parquet",
    )
    assert open_source("hub").load(task("pos"), "el", "test")["tokens"] == [["Ναι"]]
    assert [call[3] for call in local_hub.calls] == ["main", "refs/convert/parquet"]
    assert local_hub.calls[1][:2] == ("universal-dependencies/universal_dependencies", "el_gdt")


def test_no_code_from_the_hub_is_trusted():
    assert "trust_remote_code" not in Path(hub.__file__).read_text(encoding="utf-8")


def test_a_limit_takes_the_same_rows_as_from_a_folder(local_hub, tmp_path):
    rows = {"premise": [f"{n}" for n in range(40)], "hypothesis": ["b"] * 40, "label": [0] * 40}
    local_hub.add("facebook/xnli", "en", "test", rows)
    folder = tmp_path / "folder" / "xnli"
    folder.mkdir(parents=True)
    Dataset.from_dict(rows).to_json(folder / "en.test.jsonl")
    from_hub, from_folder = (
        open_source(spec).load(task("xnli"), "en", "test", limit=7).to_dict() for spec in ("hub", str(folder))
    )
    assert from_hub == from_folder


def raising(error: Exception) -> Callable[..., Dataset]:
    def load_dataset(*_: object, **__: object) -> Dataset:
        raise error

    return load_dataset


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            ConnectionError("Couldn't reach 'facebook/xnli' on the Hub"),
            "the hub cannot be reached for facebook/xnli",
        ),
        (
            datasets.exceptions.DatasetNotFoundError("Dataset 'facebook/xnli' doesn't exist"),
            "DatasetNotFoundError",
        ),
        (RuntimeError("Dataset scripts are no longer supported"), "scripts are no longer supported"),
        (ValueError("BuilderConfig 'en' not found"), "BuilderConfig 'en' not found"),
        (PermissionError("gated"), "PermissionError: gated"),
        (KeyError("splits"), "KeyError: 'splits'"),
        (
            type("ConnectError", (type("TransportError", (Exception,), {}),), {})("no route"),
            "cannot be reached",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_failure_of_the_hub_says_what_to_do(monkeypatch, error, said):
    monkeypatch.setattr(datasets, "load_dataset", raising(error))
    with pytest.raises(DataError) as caught:
        open_source("hub").load(task("xnli"), "en", "test")
    assert said in str(caught.value)
    assert "DATA=<folder>" in str(caught.value)


def test_offline_without_a_cache_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    with pytest.raises(DataError, match=r"cannot be reached for facebook/xnli.*DATA=<folder>"):
        open_source("hub").load(task("xnli"), "en", "test")


def test_a_damaged_copy_in_the_cache_and_rows_without_values_are_problems(local_hub, monkeypatch):
    rows = {"premise": ["a", None], "hypothesis": ["b", "c"], "label": [-1, 0]}
    local_hub.add("facebook/xnli", "en", "test", rows)
    with pytest.raises(DataError, match="facebook/xnli/en:1: unknown label '-1'"):
        open_source("hub").load(task("xnli"), "en", "test")
    local_hub.add("facebook/xnli", "de", "test", rows | {"label": [0, 0]})
    with pytest.raises(DataError, match="facebook/xnli/de:2: premise is not a string but null"):
        open_source("hub").load(task("xnli"), "de", "test")
    monkeypatch.setattr(Dataset, "iter", raising(OSError("Invalid flatbuffers message")))
    with pytest.raises(DataError, match="cache cannot be read.*Delete the copy"):
        open_source("hub").load(task("xnli"), "en", "test")


def test_a_changed_schema_is_named(local_hub):
    local_hub.add("facebook/xnli", "en", "test", {"a": ["x"]}, features=Features({"a": Value("string")}))
    with pytest.raises(DataError, match=r"no column premise, hypothesis, label \(it has a\)"):
        open_source("hub").load(task("xnli"), "en", "test")


def test_languages_are_those_of_the_benchmarks_by_split():
    source = open_source("hub")
    assert source.languages(task("pawsx"), "test") == ("en", "zh", "de", "es", "fr", "ja", "ko")
    assert len(source.languages(task("xnli"), "train")) == 15
    assert {"ca", "qu", "sw"} <= set(source.languages(task("ner"), "test"))
    assert "th" in source.languages(task("pos"), "test")
    assert "th" not in source.languages(task("pos"), "train"), "Thai PUD is a test set only"


def test_every_xtreme_language_of_pos_has_a_treebank_on_the_hub():
    assert set(task("pos").languages) <= set(open_source("hub").languages(task("pos"), "test"))


def test_a_language_that_the_hub_lacks_is_refused_before_anything_is_downloaded(local_hub):
    with pytest.raises(DataError, match="the hub has no test split of pawsx for 'sw'. It has: en zh de"):
        open_source("hub").load(task("pawsx"), "sw", "test")
    with pytest.raises(DataError, match="unknown language 'xx'"):
        open_source("hub").load(task("pawsx"), "xx", "test")
    assert local_hub.calls == []


def test_fingerprints_tell_tasks_languages_and_splits_apart_without_a_download(local_hub):
    source = open_source("hub")
    seen = {
        source.fingerprint(row, code, split)
        for row in TASKS.values()
        for split in ("validation", "test")
        for code in source.languages(row, split)[:2]
    }
    assert len(seen) >= 4 * len(TASKS) - 1, "XQuAD's rows to choose by are English alone"
    assert local_hub.calls == []


COPA = Features(
    {
        "premise": Value("string"),
        "choice1": Value("string"),
        "choice2": Value("string"),
        "question": Value("string"),
        "idx": Value("int32"),
        "label": ClassLabel(names=["choice1", "choice2"]),
    }
)
XCOPA = Features({**COPA, "label": Value("int64"), "changed": Value("bool")})
ANSWERS = {"text": List(Value("string")), "answer_start": List(Value("int32"))}
SQUAD = Features(
    {
        "id": Value("string"),
        "title": Value("string"),
        "context": Value("string"),
        "question": Value("string"),
        "answers": ANSWERS,
    }
)
XQUAD = Features({name: SQUAD[name] for name in ("id", "context", "question", "answers")})


def choices(count: int, *, question: str = "", labeled: bool = True) -> dict:
    numbers = range(count)
    return {
        "premise": [f"p {n}" for n in numbers],
        "choice1": [f"a {n}" for n in numbers],
        "choice2": [f"b {n}" for n in numbers],
        "question": [question or ("cause" if n % 2 else "effect") for n in numbers],
        "idx": list(numbers),
        "label": [n % 3 % 2 if labeled else -1 for n in numbers],
    }


def test_english_choices_are_superglues_and_the_questions_of_others_are_theirs(local_hub):
    local_hub.add(
        "aps/super_glue", "copa", "train", choices(30), features=COPA, revision="refs/convert/parquet"
    )
    local_hub.add(
        "aps/super_glue", "copa", "validation", choices(30), features=COPA, revision="refs/convert/parquet"
    )
    blind = choices(30, labeled=False)
    local_hub.add("aps/super_glue", "copa", "test", blind, features=COPA, revision="refs/convert/parquet")
    for split in ("validation", "test"):
        rows = choices(30, question="effect") | {"changed": [False] * 30}
        local_hub.add("cambridgeltl/xcopa", "tr", split, rows, features=XCOPA)
    source = open_source("hub")
    assert source.languages(task("xcopa"), "train") == ("en",)
    assert "en" in source.languages(task("xcopa"), "validation")
    assert "en" not in source.languages(task("xcopa"), "test"), "SuperGLUE's test has no labels"
    assert len(source.load(task("xcopa"), "en", "train")) == 30
    for split in ("validation", "test"):
        turkish = source.load(task("xcopa"), "tr", split)
        assert list(turkish["question"]) == choices(30)["question"]
        assert list(turkish["label"]) == choices(30)["label"]
        assert list(turkish["id"][:2]) == ["0", "1"]


def questions(*ids: str) -> dict:
    return {
        "id": list(ids),
        "title": ["T"] * len(ids),
        "context": ["It ends here."] * len(ids),
        "question": [f"Which {one}?" for one in ids],
        "answers": [{"text": ["here"], "answer_start": [8]} for _ in ids],
    }


def test_english_questions_to_choose_by_are_squads_without_those_of_the_test(local_hub):
    local_hub.add("rajpurkar/squad", "plain_text", "train", questions("a", "b"), features=SQUAD)
    local_hub.add("rajpurkar/squad", "plain_text", "validation", questions("c", "d", "e"), features=SQUAD)
    for code in ("en", "de"):
        rows = questions("d")
        del rows["title"]
        local_hub.add("google/xquad", f"xquad.{code}", "validation", rows, features=XQUAD)
    source = open_source("hub")
    assert source.languages(task("xquad"), "validation") == ("en",)
    assert len(source.load(task("xquad"), "en", "train")) == 2
    assert list(source.load(task("xquad"), "en", "validation")["id"]) == ["c", "e"]
    german = source.load(task("xquad"), "de", "test")
    assert german[0] == {
        "id": "d",
        "context": "It ends here.",
        "question": "Which d?",
        "answers": [{"text": "here", "start": 8}],
    }
