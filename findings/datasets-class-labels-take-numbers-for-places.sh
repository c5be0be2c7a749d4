#!/usr/bin/env bash
# datasets 5.2.0: a text that is no name of a ClassLabel is read as a number of a class, where it is one.
#
# Expected: str2int and encode_example take the names that were given, and raise for anything else. Stars from "1" to "5"
# have no "0".
# What happens: what is no name is stripped and tried again, then read as an integer and kept where it is a class number:
# "0" becomes the first class, which is called "1". encode_example keeps any number below the number of classes, a fraction
# and -1 among them.
# Whom it hurts: whose classes have numbers for names, such as the stars of reviews, when one language's file counts from
# 0 and the others from 1: its "0" and "1" both become the first class and nothing is said. A name check has to stand in
# front.
#
# Seen:
#   five stars, "0" becomes "1", "1" becomes "1", "6" raises ValueError
#   three classes, "1" becomes "neutral", 1.7 stays 1.7
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet datasets==5.2.0
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
from datasets import ClassLabel

stars = ClassLabel(names=["1", "2", "3", "4", "5"])


def becomes(label: ClassLabel, text: str) -> str:
    """What a text is taken for."""
    try:
        return f'"{text}" becomes "{label.int2str(label.encode_example(text))}"'
    except ValueError:
        return f'"{text}" raises ValueError'


found = [becomes(stars, text) for text in ("0", "1", "6")]
print(f"five stars, {', '.join(found)}")
three = ClassLabel(names=["entailment", "neutral", "contradiction"])
named, fraction = becomes(three, "1"), three.encode_example(1.7)
print(f"three classes, {named}, 1.7 stays {fraction}")
assert found == ['"0" becomes "1"', '"1" becomes "1"', '"6" raises ValueError'], "no longer so"
assert (named, fraction) == ('"1" becomes "neutral"', 1.7), "no longer so"
PYTHON
