#!/usr/bin/env bash
# mlflow 3.17.2 with datasets 5.2.0: the digest of a logged data set is of its first 10,000 rows.
#
# Expected: the digest that MLflow shows beside a run tells data sets apart; two training sets of which one has other
# labels have two digests.
# What happens: of a table, an array and a Hugging Face data set alike, at most 10,000 rows go into it, and the number of
# rows. What differs behind them, labels included, has the same name and digest, and counts as the same data set in the
# store.
# Whom it hurts: who compares runs by the data that MLflow shows. XNLI has 392,702 training rows and PAWS-X 49,401; a
# corrected or shuffled tail is not seen. A fingerprint of one's own over all rows tells it.
#
# Seen:
#   a label of row 9,999 changed: table another digest, data set another digest
#   all labels from row 10,000 on changed: table the same digest, data set the same digest
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet mlflow==3.17.2 datasets==5.2.0
cd "$work"
"$work/venv/bin/python" - <<'PYTHON' 2>&1 | grep -E 'changed:|no longer so'
import mlflow
import pandas as pd
from datasets import Dataset

rows = 20_000
table = pd.DataFrame({"text": [f"sentence {row}" for row in range(rows)], "label": [row % 3 for row in range(rows)]})


def changed(first: int, last: int) -> pd.DataFrame:
    """The table with other labels from one row to another."""
    other = table.copy()
    other.loc[first:last, "label"] = (other.loc[first:last, "label"] + 1) % 3
    return other


def digests(of: pd.DataFrame) -> tuple[str, str]:
    """Of the table, and of the data set that is made of it."""
    data_set = Dataset.from_pandas(of)
    return mlflow.data.from_pandas(of).digest, mlflow.data.from_huggingface(data_set).digest


def compared(of: pd.DataFrame) -> str:
    """Whether either digest tells it from the table."""
    words = ["the same" if one == other else "another" for one, other in zip(digests(table), digests(of), strict=True)]
    return f"table {words[0]} digest, data set {words[1]} digest"


found = [compared(changed(9_999, 9_999)), compared(changed(10_000, rows))]
print(f"a label of row 9,999 changed: {found[0]}")
print(f"all labels from row 10,000 on changed: {found[1]}")
assert found[0] == "table another digest, data set another digest", "no longer so"
assert found[1] == "table the same digest, data set the same digest", "no longer so"
PYTHON
