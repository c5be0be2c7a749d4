"""What is said to be one file is one: a task is added to a copy of the sources, and everything takes it."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from own_process import run_commands
from small import WORDS, write_lines
from studies import runs_of

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.integration

TOPIC = '''"""Topics of texts, as a test has them."""

from xlprompt.data.tasks.kinds.classification import CLASSIFICATION
from xlprompt.data.tasks.task_type import Task

TOPIC = Task(
    name="topic",
    kind=CLASSIFICATION,
    version=1,
    fields=("text", "topic"),
    labels=("people", "things", "deeds"),
    label_words=("people", "things", "deeds"),
    metrics=("accuracy",),
    languages=("de", "en"),
)
'''


@pytest.fixture
def changed_sources(tmp_path):
    """Copies a package with a new file and an entry in one other; gives how to call an xlprompt with it."""

    def change(new: str, content: str, listed_in: str, *replacements: tuple[str, str]):
        package, copy = new.split("/")[0], tmp_path / "sources"
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "packages" / package / "src", copy, ignore=ignored)
        (copy / "xlprompt" / new).write_text(content)
        file = copy / "xlprompt" / listed_in
        text = file.read_text()
        for old, with_name in replacements:
            assert text.count(old) == 1
            text = text.replace(old, with_name)
        file.write_text(text)
        cache = tmp_path / "cache"

        def call(*commands: tuple[object, ...]) -> list[str]:
            return run_commands(commands, sources=[copy], folder=tmp_path, XLPROMPT_CACHE=str(cache))

        return call

    return change


def write_topics(folder: Path) -> Path:
    """Texts of one word of each topic, three languages' words cut to two."""
    of_word = [0, 0, 1, 1, 2, 2, 1, 1, 1, 1]
    for language in ("en", "de"):
        for split, count in (("train", 40), ("validation", 20), ("test", 20)):
            places = [(7 * number + len(split)) % len(of_word) for number in range(count)]
            rows = [
                {"id": f"{split}-{number}", "text": WORDS[language][place], "topic": of_word[place]}
                for number, place in enumerate(places)
            ]
            write_lines(folder / "topic" / f"{language}.{split}.jsonl", rows)
    return folder


@pytest.mark.slow
def test_a_task_is_one_file_and_its_name_in_one_list(changed_sources, tiny_xglm, tmp_path):
    xlprompt = changed_sources(
        "data/tasks/topic.py",
        TOPIC,
        "data/tasks/__init__.py",
        ("import POS\n", "import POS\nfrom xlprompt.data.tasks.topic import TOPIC\n"),
        (
            "(XNLI, PAWSX, NER, POS, SIB200, XCOPA, XQUAD)",
            "(XNLI, PAWSX, NER, POS, SIB200, XCOPA, XQUAD, TOPIC)",
        ),
    )
    data, store = write_topics(tmp_path / "folder"), tmp_path / "mlruns"
    recipe = {
        "task": "topic",
        "model": str(tiny_xglm),
        "precision": "float32",
        "data": {"source": str(data)},
        "encoding": {"max_length": 32},
        "optimizer": {"learning_rate": 0.01},
        "schedule": {"steps": 4, "batch_size": 8, "token_budget": 128, "evaluate_every": 2},
        "evaluation": {"token_budget": 512},
    }
    for method in ("prompt", "finetune"):
        (tmp_path / f"topic-{method}.yaml").write_text(yaml.safe_dump({**recipe, "method": method}))
    grid = {"tasks": ["topic"], "methods": ["prompt", "finetune"], "seeds": 1}
    here = {"workers": 0, "threads": 1, "gpus": 0}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({**grid, "executor": here}))
    checked, shown, *_ = xlprompt(
        ("data", "check", data, "--json"),
        ("data", "show", data),
        ("data", "show", "mini", "--examples", 1),
        ("study", tmp_path / "study.yaml", "--mlruns", store),
        ("report", "--mlruns", store, "--out", tmp_path / "report"),
    )
    found = json.loads(checked)["found"]
    assert {(each["task"], each["count"]) for each in found} == {("topic", 40), ("topic", 20)}
    assert "things" in shown
    assert "Tasks topic." in (tmp_path / "report" / "report.md").read_text()

    run = next(run for run in runs_of(store, "topic")[1] if run.data.tags["method"] == "prompt")
    assert {"test/accuracy/en", "test/accuracy/de", "test/accuracy/mean_zero_shot"} <= run.data.metrics.keys()
    (tmp_path / "texts.txt").write_text("Frau\ntext without a header\n")
    lines, of_file = xlprompt(
        ("predict", run.info.run_id, "Frau", "liest", "--mlruns", store, "--json"),
        ("predict", run.info.run_id, "--file", tmp_path / "texts.txt", "--mlruns", store),
    )
    answers = [json.loads(line) for line in lines.splitlines()]
    assert [answer["text"] for answer in answers] == ["Frau", "liest"]
    for answer in answers:
        assert answer["probabilities"][answer["topic"]] == max(answer["probabilities"].values())
    assert "Frau" in of_file
