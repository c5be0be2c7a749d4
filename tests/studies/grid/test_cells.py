"""What makes a cell another one, and what does not."""

import shutil
import subprocess
import sys

import pytest
from small import write_data
from studies import write_study

from xlprompt.models.errors import ModelError
from xlprompt.studies.grid import cells
from xlprompt.studies.grid.cells import make_groups
from xlprompt.studies.grid.grid import load_grid
from xlprompt.studies.grid.plan import make_plan
from xlprompt.training.errors import RecipeError, RunError

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def study(tmp_path, tiny_xglm, data):
    model, folder = tmp_path / "model", tmp_path / "data"
    shutil.copytree(tiny_xglm, model)
    shutil.copytree(data, folder)
    return write_study(tmp_path / "study", model, folder)


def fingerprints(path, overrides=None, **grid_overrides):
    groups = make_groups(load_grid(path, grid_overrides), path, overrides)
    return [cell.fingerprint for group in groups for cell in group.cells]


def test_the_same_files_give_the_same_fingerprints_in_another_process(study):
    program = (
        "import sys; from xlprompt.studies.grid.cells import make_groups\n"
        "from xlprompt.studies.grid.grid import *\n"
        "path = sys.argv[1]\n"
        "print(*[c.fingerprint for g in make_groups(load_grid(path), path) for c in g.cells])"
    )
    there = subprocess.run([sys.executable, "-c", program, str(study)], capture_output=True, text=True)
    assert there.stdout.split() == fingerprints(study), there.stderr


def test_seeds_differ_and_share_their_group(study):
    (group,) = make_groups(load_grid(study), study)
    assert len({cell.fingerprint for cell in group.cells}) == 2
    assert {cell.group for cell in group.cells} == {group.fingerprint}
    assert [cell.recipe.seed for cell in group.cells] == [0, 1]


def test_a_method_that_trains_nothing_has_one_seed_and_needs_test_sets_alone(study, tmp_path, tiny_xglm):
    folder = tmp_path / "data"
    for path in (folder / "xnli").glob("*.*.jsonl"):
        if ".test." not in path.name:
            path.unlink()
    path = write_study(tmp_path / "untrained", tiny_xglm, folder, methods=("zeroshot",))
    (group,) = make_groups(load_grid(path), path)
    assert [cell.seed for cell in group.cells] == [0]
    assert make_plan([group], []).count("run") == 1


def test_a_value_of_the_recipe_makes_other_cells(study):
    before = fingerprints(study)
    assert not set(before) & set(fingerprints(study, {"schedule.steps": 9}))
    assert not set(before) & set(fingerprints(study, {"data.limit": 10}))


def test_a_value_of_one_method_leaves_the_others_cells(tmp_path, tiny_xglm, data):
    path = write_study(tmp_path / "two", tiny_xglm, data, methods=("prompt", "head"))
    pairs = zip(fingerprints(path), fingerprints(path, {"prompt.length": 3}), strict=True)
    assert [before == after for before, after in pairs] == [False, False, True, True]


def test_what_decides_nothing_does_not(study):
    before = fingerprints(study)
    assert fingerprints(study, {"schedule.checkpoint_every": 3, "evaluation.token_budget": 600}) == before
    assert fingerprints(study, **{"executor.workers": 7, "executor.retries": 0}) == before
    assert fingerprints(study, seeds=3)[:2] == before


def test_a_folder_that_was_moved_has_the_same_cells(study, tmp_path):
    before = fingerprints(study)
    moved = (tmp_path / "data").rename(tmp_path / "moved")
    assert fingerprints(study, {"data.source": str(moved)}) == before


@pytest.mark.parametrize(
    "aligned",
    [{"evaluation.alignment.kinds": ["none", "mean"]}, {"alignment_loss.weight": 0.5}],
)
def test_text_that_languages_are_aligned_by_counts_where_they_are(study, tmp_path, aligned):
    folder = tmp_path / "data" / "xnli"
    shutil.copy(folder / "de.test.jsonl", folder / "de.validation.jsonl")
    before, before_aligned = fingerprints(study), fingerprints(study, aligned)
    lines = (folder / "de.validation.jsonl").read_text().splitlines(keepends=True)
    (folder / "de.validation.jsonl").write_text("".join(reversed(lines)))
    assert fingerprints(study) == before
    assert not set(before_aligned) & set(fingerprints(study, aligned))


@pytest.mark.parametrize("file", ["en.train", "en.validation", "sw.test"])
def test_a_changed_row_makes_other_cells(study, tmp_path, file):
    before = fingerprints(study)
    path = tmp_path / "data" / "xnli" / f"{file}.jsonl"
    path.write_text(path.read_text().replace('"label": 0', '"label": 2', 1))
    assert not set(before) & set(fingerprints(study))


def test_a_language_more_makes_other_cells_unless_the_recipe_names_its_languages(study, tmp_path):
    named = {"data.languages": ["en", "sw"]}
    before, before_named = fingerprints(study), fingerprints(study, named)
    folder = tmp_path / "data" / "xnli"
    shutil.copy(folder / "de.test.jsonl", folder / "fr.test.jsonl")
    assert not set(before) & set(fingerprints(study))
    assert fingerprints(study, named) == before_named


def test_changed_weights_make_other_cells(study, tmp_path):
    before = fingerprints(study)
    weights = tmp_path / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert not set(before) & set(fingerprints(study))


def test_changed_code_makes_other_cells(study, monkeypatch):
    before = fingerprints(study)
    monkeypatch.setattr(cells, "code_version", lambda entry: "another")
    assert not set(before) & set(fingerprints(study))


def test_a_study_without_data_is_explained(study):
    with pytest.raises(RunError, match="data.source is null. Give a folder"):
        fingerprints(study, {"data.source": None})


def test_a_model_that_is_not_here_yet_leaves_the_fingerprint_open(study):
    (group,) = make_groups(load_grid(study), study, {"model": "somebody/something-never-downloaded"})
    assert {group.fingerprint, *(cell.fingerprint for cell in group.cells)} == {""}


def test_variants_are_cells_of_their_own_and_one_that_changes_nothing_is_the_cell_it_was(study):
    plain = {cell.fingerprint for group in make_groups(load_grid(study), study) for cell in group.cells}
    grid = load_grid(study, {"variants": {"4": {"prompt.length": 4}, "8": {"prompt.length": 8}}})
    same, other = make_groups(grid, study)
    assert (same.name, other.cells[0].name) == ("xnli-prompt 4", "xnli-prompt 8 seed 0")
    assert {cell.fingerprint for cell in same.cells} == plain
    assert not {cell.fingerprint for cell in other.cells} & plain


def test_a_variants_model_that_is_not_built_is_told_with_the_command_that_builds_it(study, monkeypatch):
    monkeypatch.setenv("XLPROMPT_CACHE", str(study.parent / "cache"))
    with pytest.raises(ModelError, match="xglm-nano-1m has not been built .* run: make nano SIZE=1m"):
        fingerprints(study, variants={"here": {}, "1m": {"model": "xglm-nano-1m"}})


def test_two_variants_that_come_to_the_same_are_refused(study):
    grid = load_grid(study, {"variants": {"a": {"prompt.length": 4}, "b": {}}})
    with pytest.raises(RecipeError, match="xnli-prompt a and xnli-prompt b are the same recipe"):
        make_groups(grid, study)
