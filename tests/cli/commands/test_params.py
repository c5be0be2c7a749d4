import json
import re

from xlprompt.models import METHODS

RUN = "from xlprompt.cli.main import main; main()"


def test_the_studys_budget_is_told_offline(xlprompt):
    command_line = "params --model facebook/xglm-564M --prompt-length 15 --task xnli --json"
    budget = json.loads(xlprompt(*command_line.split()).stdout)
    assert budget["prompt_params"] == 2 * 24 * 15 * 1024 == 737280
    assert budget["head_params"] == 3 * 1024 + 3 == 3075
    assert budget["total_params"] == 564463616
    assert budget["trainable_percent"] == 0.131
    # 2 bytes a frozen weight and 16 a trained one against 18 for each weight and 16 for the head's.
    memory = {
        entry["method"]: entry["total"]
        for entry in budget["memory"]
        if entry["engine"] == "torch" and entry["processes"] == 1
    }
    assert memory["prompt"] == 2 * 564463616 + 16 * (737280 + 3075)
    assert memory["lora"] == 2 * 564463616 + 16 * (786432 + 3075)
    assert memory["bitfit"] == 2 * 564463616 + 16 * 271360 + 16 * 3075
    assert memory["finetune"] == 18 * 564463616 + 16 * 3075
    assert memory.keys() == set(METHODS)
    assert budget["methods"].keys() == set(METHODS) - {"prompt"}
    assert budget["methods"]["lora"]["adapter_params"] == 786432


def test_the_table_shows_the_same_numbers(xlprompt):
    result = xlprompt("params")
    assert result.exit_code == 0
    for number in ("564,463,616", "737,280", "3,075", "740,355", "0.131"):
        assert number in result.stdout
    for method in METHODS:
        assert re.search(rf"^ *{method}\b.* [0-9,]+ +[0-9.]+ +[0-9.]+ *$", result.stdout, re.MULTILINE), (
            method
        )


def test_the_widths_of_lora_and_adapters_can_be_chosen(xlprompt):
    arguments = ("params", "--lora-rank", "2", "--adapter-width", "1", "--json")
    methods = json.loads(xlprompt(*arguments).stdout)["methods"]
    assert methods["lora"]["adapter_params"] == 786432 // 4
    assert methods["adapter"]["adapter_params"] == 24 * (2 * 1024 + 1025)


def test_a_method_that_a_model_has_no_place_for_is_named_with_the_reason(xlprompt):
    assert "bitfit: Gemma3TextModel has no bias terms" in xlprompt("params", "--model", "gemma-3-270m").stdout
    told = json.loads(xlprompt("params", "--model", "gemma-3-270m", "--json").stdout)
    assert "no bias terms" in told["refused"]["bitfit"]
    assert "bitfit" not in told["methods"]


def test_all_schemes_can_be_compared(xlprompt):
    budgets = json.loads(xlprompt("params", "--scheme", "all", "--json").stdout)
    assert [budget["scheme"] for budget in budgets] == ["layers", "input", "both", "hidden"]
    assert budgets[2]["prompt_params"] == budgets[0]["prompt_params"] + budgets[1]["prompt_params"]
    assert [budget["memory"][0]["scheme"] for budget in budgets] == ["layers", "input", "both", "hidden"]


def test_every_number_of_the_comparison_fits_into_80_columns(xlprompt):
    assert "…" not in xlprompt("params", "--scheme", "all").stdout


def rows(text):
    """The numbers of the table's rows, by their title."""
    return {
        title.strip(): line.split()[-4:]
        for line in text.splitlines()
        for title in [line[:38]]
        if title.strip()
    }


def test_the_memory_table_says_what_fits_where(xlprompt):
    found = rows(xlprompt("params").stdout)
    # GiB: 1.14e9 bytes with a prompt; 10.16e9 fine-tuned, of which ZeRO 3 leaves an eighth on 8 devices.
    assert found["prompt, layers"] == ["1.06"] * 4
    assert found["finetune, torch"] == ["9.46"] * 4
    assert found["finetune, ZeRO 0"] == ["9.46"] * 4
    assert found["finetune, ZeRO 1"] == ["9.46", "6.31", "4.73", "3.94"]
    assert found["finetune, ZeRO 2"] == ["9.46", "5.26", "3.15", "2.10"]
    assert found["finetune, ZeRO 3"] == ["9.46", "4.73", "2.37", "1.18"]
    assert found["finetune, ZeRO 3, optimizer offloaded"] == ["1.05", "0.53", "0.26", "0.13"]
    assert found["finetune, ZeRO 3, all offloaded"] == ["0.00"] * 4
    assert found["in main memory"] == ["9.46", "4.73", "2.37", "1.18"]


def test_a_frozen_embedding_saves_its_gradient_and_optimizer_state(xlprompt):
    found = rows(xlprompt("params", "--freeze-embeddings").stdout)
    assert found["finetune, torch"] == ["5.56"] * 4


def test_models_and_numbers_of_processes_can_be_chosen(xlprompt):
    arguments = ("params", "--model", "xglm-564M", "--model", "xglm-1.7B", "--processes", "3, 16")
    found = json.loads(xlprompt(*arguments, "--json").stdout)
    assert [budget["model"] for budget in found] == ["facebook/xglm-564M", "facebook/xglm-1.7B"]
    assert {entry["processes"] for entry in found[1]["memory"]} == {3, 16}
    printed = xlprompt(*arguments).stdout
    assert printed.count("Memory of weights, gradients and optimizer") == 2
    assert "activations not counted" in printed


def test_a_number_of_processes_that_is_none_is_an_error(xlprompt):
    result = xlprompt("params", "--processes", "2,none")
    assert result.exit_code == 2
    assert "such as 1,2,4,8" in result.stderr


def test_the_schemes_offered_are_those_that_the_models_know(xlprompt):
    from typing import get_args

    from xlprompt.cli.commands.params import SCHEMES
    from xlprompt.models import PromptSettings

    assert get_args(PromptSettings.model_fields["scheme"].annotation) == SCHEMES


def test_a_model_that_is_not_known_and_not_there_is_an_error_with_a_way_out(xlprompt):
    result = xlprompt("params", "--model", "no/such-model")
    assert result.exit_code == 2
    assert "no/such-model" in result.stderr


def test_the_head_of_an_own_task_is_as_wide_as_its_folder_has_labels(xlprompt, tmp_path):
    folder = tmp_path / "topics"
    assert xlprompt("data", "new", folder).exit_code == 0
    for name in ("own", "topics"):
        told = xlprompt("params", "--task", name, "--data", folder, "--json")
        assert json.loads(told.stdout)["head_params"] == 3 * 1024 + 3, told.output
    assert "topics: what trains" in xlprompt("params", "--task", "own", "--data", folder).stdout


def test_a_folder_and_the_task_that_it_is_go_together(xlprompt, tmp_path):
    folder = tmp_path / "topics"
    assert xlprompt("data", "new", folder).exit_code == 0
    for options, message in (
        (("--task", "own"), "--task own is the task that a data folder is. Give one with --data"),
        (("--task", "own", "--data", "mini"), "mini is no folder of an own task"),
        (("--data", folder), "leave it out, or add --task own"),
        (("--task", "own", "--data", tmp_path / "nowhere"), "there is no such folder"),
    ):
        refused = xlprompt("params", *options)
        assert refused.exit_code == 2
        assert message in " ".join(refused.stderr.split())


def test_a_prompt_in_some_layers_is_counted_as_such_and_one_that_cannot_be_is_explained(xlprompt):
    for layers, number in (("6", 6), ("[1,2]", 2)):
        budget = json.loads(xlprompt("params", "--prompt-layers", layers, "--json").stdout)
        assert budget["prompt_params"] == 2 * number * 15 * 1024
    for options, message in (
        (("--prompt-layers", "25"), "has 24 layers"),
        (("--prompt-layers", "2", "--scheme", "all"), "cannot be chosen with the scheme input"),
        (("--prompt-layers", "few"), "--prompt-layers"),
    ):
        refused = xlprompt("params", *options)
        assert refused.exit_code != 0
        assert message in " ".join(refused.stderr.split())


def test_a_model_that_training_refuses_is_not_planned_for(xlprompt, tmp_path):
    from transformers import StableLmConfig

    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    StableLmConfig(vocab_size=64, **size).save_pretrained(tmp_path)
    told = xlprompt("params", "--model", tmp_path)
    assert told.exit_code == 2
    assert told.stdout == ""
    assert "does not go through transformers' attention interface. Take another decoder" in told.stderr
