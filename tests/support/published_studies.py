"""Published runs of a simulated study, for tests of what is read, written and replaced."""

from dataclasses import replace

from simulated_studies import make_runs

from xlprompt.evaluation.comparison.statistics import Estimate
from xlprompt.evaluation.comparison.verdicts import GranularityEffect
from xlprompt.studies.grid.ledger import GROUP_TAG, CellRun
from xlprompt.studies.reports.page import Image, Section, Table
from xlprompt.studies.reports.published_runs import PublishedRuns

SECTION = Section("Ablation", (Table("Scores", ("a",), (("1",),)), Image("Figure", "<svg/>")))
SLOPE = GranularityEffect(
    Estimate(1.5, -0.5, 3.5, 0.1, 1.0, None, 0.5, 2.0, 0.7),
    {"xnli": ("de", "es")},
    (0.0, 0.5, 1.0),
    3,
    "both",
)


def cell(method, seed, *, model="nano", started=0, **tags):
    return CellRun(
        f"{method}-{seed}",
        "FINISHED",
        started,
        {"seed": str(seed), "data.source": "/home/me/data", "trainable_percent": "0.13"},
        {"task": "xnli", "method": method, "model": model, GROUP_TAG: method, "process": "host 1"} | tags,
        {"test/accuracy/de": 50.5, "cost/total_seconds": 60.0, "train/loss": 1.0},
        None,
    )


def known(counts):
    """Counts as predictions give them, with what tells one test set from another."""
    digested = {
        code: replace(each, collapsed=(False,) * len(each.numerators), examples_digest=f"rows of {code}")
        for code, each in counts.languages.items()
    }
    return replace(counts, languages=digested)


def study(seeds=(0, 1), *, draw=0, **changes):
    counts = known(make_runs(seeds=seeds, languages=("en", "de", "sw"), examples=50, draw=draw)["xnli"])
    runs = tuple(cell(method, seed) for method in ("prompt", "finetune") for seed in seeds)
    curves = {run.run_id: ((10, 40.0), (20, 50.0)) for run in runs}
    published = PublishedRuns(
        "nano", runs, frozenset({"prompt"}), {"xnli": counts}, curves, {"ablation": SECTION}, SLOPE
    )
    return replace(published, **changes)
