#!/usr/bin/env bash
# lm_eval 0.4.13: COPA's English choices are scored with two spaces in front, XCOPA's of all other languages with one.
#
# Expected: XCOPA is COPA translated and its prompts are COPA's translated, so a model reads both tasks' choices in the
#   same form, and English from `copa` beside the languages of `xcopa` shows what the language costs.
# Happens: `copa` puts a space before each choice itself, and the harness puts its own between text and choice as well.
#   `xcopa` leaves it to the harness. Tokenizers that know a word with one space in front as one piece see another text.
# Seen:
#   copa      ['  it was raining.', '  it was late.']
#   xcopa_it  [' pioveva.', ' era tardi.']
# Hurts: whoever puts English COPA in one table with XCOPA, as papers on multilingual models do.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet lm_eval==0.4.13
cd "$folder"
HF_HUB_OFFLINE=1 HF_HOME="$folder" "$folder/venv/bin/python" -W ignore - <<'PY'
import importlib.util
import json
from pathlib import Path

import yaml
from lm_eval import tasks
from lm_eval.api.task import ConfigurableTask

ROOT = Path(tasks.__file__).parent


def configuration(path):
    """A task's own YAML file with what it includes; functions are taken from the module beside it."""

    class Loader(yaml.SafeLoader):
        pass

    def function(loader, node):
        module, name = node.value.rsplit(".", 1)
        spec = importlib.util.spec_from_file_location(module, path.parent / f"{module}.py")
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        return getattr(loaded, name)

    Loader.add_constructor("!function", function)
    values = yaml.load(path.read_text(encoding="utf-8"), Loader)
    included = values.pop("include", None)
    return {**(configuration(path.parent / included) if included else {}), **values}


def choices(path, row):
    """What the harness scores after the text, for one row."""
    data = Path("row.jsonl")
    data.write_text(json.dumps(row) + "\n", encoding="utf-8")
    values = configuration(ROOT / path)
    values.pop("tag", None)
    files = {value: str(data) for key, value in values.items() if key.endswith("_split")}
    values.update(dataset_path="json", dataset_name=None, dataset_kwargs={"data_files": files})
    task = ConfigurableTask(config=values)
    task.build_all_requests(limit=1, rank=0, world_size=1)
    return [instance.args[1] for instance in task.instances]


fields = {"question": "cause", "label": 0, "idx": 0}
english = {"premise": "She went home.", "choice1": "It was raining.", "choice2": "It was late.", **fields}
italian = {"premise": "Andò a casa.", "choice1": "Pioveva.", "choice2": "Era tardi.", **fields}
copa = choices("super_glue/copa/default.yaml", english)
xcopa = choices("xcopa/default_it.yaml", italian)
print("copa     ", copa)
print("xcopa_it ", xcopa)
assert copa == ["  it was raining.", "  it was late."] and xcopa == [" pioveva.", " era tardi."], "this has changed"
PY
