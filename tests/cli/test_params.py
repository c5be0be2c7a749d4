import json
import os
import subprocess
import sys
import time

import pytest

RUN = "from xlprompt.cli.main import main; main()"


@pytest.mark.integration
def test_the_studys_budget_is_told_offline_in_under_ten_seconds():
    command_line = "params --model facebook/xglm-564M --prompt-length 15 --task xnli --json"
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", RUN, *command_line.split()],
        capture_output=True,
        text=True,
        check=True,
        env=offline,
    )
    assert time.monotonic() - started < 10
    budget = json.loads(done.stdout)
    assert budget["prompt_params"] == 2 * 24 * 15 * 1024 == 737280
    assert budget["head_params"] == 3 * 1024 + 3 == 3075
    assert budget["total_params"] == 564463616
    assert budget["trainable_percent"] == 0.131


def test_the_table_shows_the_same_numbers(xlprompt):
    result = xlprompt("params")
    assert result.exit_code == 0
    for number in ("564,463,616", "737,280", "3,075", "740,355", "0.131"):
        assert number in result.stdout


def test_all_schemes_can_be_compared(xlprompt):
    budgets = json.loads(xlprompt("params", "--scheme", "all", "--json").stdout)
    assert [budget["scheme"] for budget in budgets] == ["layers", "input", "both", "hidden"]
    assert budgets[2]["prompt_params"] == budgets[0]["prompt_params"] + budgets[1]["prompt_params"]


def test_every_number_of_the_comparison_fits_into_80_columns(xlprompt):
    assert "…" not in xlprompt("params", "--scheme", "all").stdout


def test_the_schemes_offered_are_those_that_the_models_know(xlprompt):
    from typing import get_args

    from xlprompt.cli.params import SCHEMES
    from xlprompt.models import PromptSettings

    assert get_args(PromptSettings.model_fields["scheme"].annotation) == SCHEMES


def test_a_model_that_is_not_known_and_not_there_is_an_error_with_a_way_out(xlprompt):
    result = xlprompt("params", "--model", "no/such-model")
    assert result.exit_code == 2
    assert "no/such-model" in result.stderr
