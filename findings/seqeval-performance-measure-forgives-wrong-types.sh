#!/usr/bin/env bash
# seqeval 1.2.2: performance_measure counts an entity's token of the wrong type as a false positive, and not as missed.
#
# Expected: tp, fp, fn and tn from which precision and recall follow. Who takes a person for a place has missed a person
# and invented a place, as seqeval's own precision_score and recall_score count it.
# What happens: fp are the tokens that are predicted as some entity and differ, fn the tokens of an entity that are
# predicted as O. A token of the wrong type is in fp alone. Recall by tp / (tp + fn) is 1 where half of the types are
# wrong, and tp + fn is no longer the number of the gold tokens.
# Whom it hurts: who computes recall or a confusion by type from it. In zero-shot transfer wrong types are much of what
# goes wrong, and differ by language: languages whose entities are found under wrong names look as if nothing were missed.
#
# Seen:
#   one person found, one called a place: TP 1, FP 1, FN 0, TN 1, recall by them 1.0
#   recall_score of the same: 0.5
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet seqeval==1.2.2
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
from seqeval.metrics import performance_measure, recall_score

gold = [["B-PER", "O", "B-PER"]]
predicted = [["B-PER", "O", "B-LOC"]]
counts = performance_measure(gold, predicted)
by_counts = counts["TP"] / (counts["TP"] + counts["FN"])
print(
    "one person found, one called a place:",
    ", ".join(f"{name} {number}" for name, number in counts.items()) + f", recall by them {by_counts}",
)
recall = float(recall_score(gold, predicted))
print(f"recall_score of the same: {recall}")
assert counts == {"TP": 1, "FP": 1, "FN": 0, "TN": 1}, "no longer so"
assert (by_counts, recall) == (1.0, 0.5), "no longer so"
PYTHON
