"""Recipe files and values as YAML has them: what a person reads there is what comes out, or a RecipeError."""

import os

import pytest

from xlprompt.studies.search.space import SearchFile
from xlprompt.training.errors import RecipeError
from xlprompt.training.recipes.files import parse_value
from xlprompt.training.recipes.recipe import Recipe, load_recipe
from xlprompt.training.recipes.settings import load_settings

MINIMAL = """
task: xnli
model: gemma-3-270m
optimizer: {learning_rate: 5e-3}
schedule: {steps: 10, batch_size: 4, token_budget: 512, evaluate_every: 5}
"""


@pytest.fixture
def write(tmp_path):
    def write_file(text, name="recipe.yaml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write_file


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "recipe.yaml:3: 'a' stands twice, in lines 1 and 3; put both into one"),
        ("s:\n  k: 1\n  k: 1\n", "recipe.yaml:3: 'k' stands twice, in lines 2 and 3"),
        ("s: [{k: 1, k: 2}]\n", "'k' stands twice, in line 1"),
        ('8: 1\n"8": 2\n', "'8' stands twice"),
        ("b: &b {k: 1}\ns:\n  <<: *b\n  <<: *b\n", "'<<' stands twice"),
    ],
)
@pytest.mark.parametrize("kind", [Recipe, SearchFile])
def test_a_key_that_stands_twice_is_named_with_both_lines(write, text, message, kind):
    with pytest.raises(RecipeError) as error:
        load_settings(write(text), kind)
    assert message in str(error.value)


def test_a_key_may_replace_one_that_is_merged(write):
    recipe = load_recipe(write(MINIMAL.replace("{steps", "&s {steps") + "evaluation: {token_budget: 300}\n"))
    merged = "x: &b {token_budget: 400, language_model_rows: 3}\nevaluation: {<<: *b, token_budget: 300}"
    with pytest.raises(RecipeError, match="x: there is no such key"):
        load_recipe(write(MINIMAL + merged))
    assert recipe.evaluation.token_budget == 300


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10),
        ("-007", -7),
        ("0o17", 15),
        ("0x1F", 31),
        ("1:30", "1:30"),
        ("1:30.5", "1:30.5"),
        ("0b11", "0b11"),
        ("2001-99-99", "2001-99-99"),
        ("2001-01-01", "2001-01-01"),
        ("yes", "yes"),
        ("TRUE", True),
        ("=", "="),
        ("5e-3", 0.005),
        (".5", 0.5),
        ("1.", 1.0),
        ("{8: 1, null: 2}", {"8": 1, "null": 2}),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text, value):
    parsed = parse_value(text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize("text", ["1:30", "2001-99-99", "0b11", "1e400", ".nan"])
def test_what_is_no_number_in_yaml_1_2_is_no_seed(write, text):
    with pytest.raises(RecipeError, match=r"the command line: seed: give a .*number"):
        load_recipe(write(MINIMAL), {"seed": parse_value(text)})


LAUGHS = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{f'*a{i - 1}, ' * 9}]\n" for i in range(1, 10))
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [{f'*a{i - 1}, ' * 9}]}}\n" for i in range(1, 10))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("!!int x", "the tag !!int has no place here"),
        ("!!float y", "the tag !!float"),
        ("!!bool maybe", "the tag !!bool"),
        ("!!timestamp z", "the tag !!timestamp"),
        ("!!set {a}", "the tag !!set"),
        ("!!python/name:os.system x", "the tag !!python"),
        ("1" * 5000, "a number of 5000 digits"),
        ("0x" + "f" * 5000, "a number of 5002 digits"),
        ("{[a]: 1}", "a key is a word"),
        ("{{a: 1}: 1}", "a key is a word"),
        ("&a [*a]", "an alias stands inside of what it names"),
        ("&a {<<: *a}", "an alias stands inside of what it names"),
        ("[" * 3000, "nested more than 50 deep"),
        ("[" * 60 + "]" * 60, "nested more than 50 deep"),
        ('"\\ud800"', "half a character"),
        ('"\\UFFFFFFFF"', "an escape for a character that does not exist"),
        ('"\\U00FFFFFF"', "an escape for a character that does not exist"),
        ("*nowhere", "undefined alias"),
    ],
)
def test_a_value_that_yaml_cannot_build_is_refused_in_a_file_and_on_the_command_line(write, value, message):
    with pytest.raises(RecipeError, match="as it would stand in a recipe") as given:
        parse_value(value)
    with pytest.raises(RecipeError) as in_file:
        load_recipe(write(f"{MINIMAL}seed: {value}\n"))
    assert message in str(given.value)
    assert message in str(in_file.value)
    assert str(in_file.value).startswith(str(write("")))


@pytest.mark.parametrize("text", [LAUGHS, MERGES], ids=["lists", "merges"])
def test_aliases_that_multiply_are_refused_before_they_are_built(write, text):
    with pytest.raises(RecipeError, match="more than 10,000 values"):
        load_recipe(write(text))


def test_an_empty_value_is_not_taken_for_null():
    with pytest.raises(RecipeError, match="is empty: write null for none"):
        parse_value(" ")
    assert parse_value("null") is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"task: xnli\nmodel: caf\xe9\n", r"recipe\.yaml:2: is no UTF-8 text .*Save it as UTF-8"),
        (b"\xff\xfet\0a\0", "is no UTF-8 text"),
        (b"", "found nothing"),
        (b"a: \x07\n", "not valid YAML: unacceptable character"),
        (b"#" * (2**20 + 1), "bytes, which no recipe has"),
    ],
)
def test_a_file_that_is_no_text_is_named(write, content, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(content))


def test_a_folder_a_pipe_and_a_device_are_no_recipes_and_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, message in (
        (tmp_path, "is a folder"),
        (tmp_path / "pipe", "is a pipe or a device"),
        ("/dev/zero", "is a pipe or a device"),
    ):
        with pytest.raises(RecipeError, match=message):
            load_recipe(path)


def test_a_name_that_no_file_can_have_is_refused(write):
    for name in ("a" * 5000, "a\0b"):
        with pytest.raises(RecipeError, match=r"cannot be read|no such recipe"):
            load_recipe(name)
    for name in ('"a\\0b"', "a" * 5000, ".", '""'):
        with pytest.raises(RecipeError, match="extends: there is no file"):
            load_recipe(write(f"extends: {name}\n"))


def test_links_that_lead_round_are_a_circle_too(write, tmp_path):
    path = write("extends: link.yaml\n")
    (tmp_path / "link.yaml").symlink_to(path)
    with pytest.raises(RecipeError, match="goes round in a circle"):
        load_recipe(path)
    (tmp_path / "itself.yaml").symlink_to("itself.yaml")
    with pytest.raises(RecipeError, match=r"itself\.yaml: cannot be read"):
        load_recipe(tmp_path / "itself.yaml")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(write):
    path = write(MINIMAL)
    path.chmod(0)
    with pytest.raises(RecipeError, match=r"cannot be read \(Permission denied\)"):
        load_recipe(path)
