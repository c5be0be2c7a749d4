#!/usr/bin/env bash
# seqeval 1.2.2: tags without B- and I- are told apart by their first letters, so that ORG is no entity and PER is one.
#
# Expected: with tags such as PER, LOC and ORG, as in data sets that mark no beginnings, each is an entity of its name, or an
# error says that the scheme is not known.
# What happens: the first letter is the scheme's and what follows is the type. A tag that begins with O is outside, whatever
# follows, so all organizations are missing in gold and prediction alike. PER is a span of type ER, LOC of type OC. The
# warning that tags seem to be none is given for PER and ORG in the same words, and says nothing of what is lost.
# Whom it hurts: who scores flat tags by it. Organizations missed, or invented, cost nothing: F1 is 1 where none was found.
# Data sets in many languages differ in how often organizations occur, so that languages are not comparable either.
#
# Seen:
#   entities of ORG ORG O PER LOC: [('ER', 3, 3), ('OC', 4, 4)]
#   F1 where the organization was missed: 1.0
#   F1 of the same with B-: 0.667
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet seqeval==1.2.2
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
from seqeval.metrics import f1_score
from seqeval.metrics.sequence_labeling import get_entities

found = get_entities([["ORG", "ORG", "O", "PER", "LOC"]])
print("entities of ORG ORG O PER LOC:", found)
missed = float(f1_score([["ORG", "O", "PER"]], [["O", "O", "PER"]]))
print("F1 where the organization was missed:", missed)
begun = float(f1_score([["B-ORG", "O", "B-PER"]], [["O", "O", "B-PER"]]))
print(f"F1 of the same with B-: {begun:.3f}")
assert found == [("ER", 3, 3), ("OC", 4, 4)], "no longer so"
assert (missed, round(begun, 3)) == (1.0, 0.667), "no longer so"
PYTHON
