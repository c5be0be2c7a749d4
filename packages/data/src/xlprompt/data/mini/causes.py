"""draft"""
from __future__ import annotations

import os
import random
from dataclasses import dataclass, replace
from functools import cache

from xlprompt.data.mini.items import SIZES, hypothesis_of, premise_of
from xlprompt.data.mini.meaning import Meaning, Relation, relation
from xlprompt.data.mini.sample import Sampler
from xlprompt.data.mini.world import STATES

VERSION = 1
FAM = {k: float(v) for k, v in (p.split("=") for p in os.environ.get("FAM", "why=1,source=1,outcome=1,people=1").split(","))}
YES = Relation.ENTAILMENT


@dataclass(frozen=True)
class ChoiceItem:
    premise: tuple
    question: str
    choices: tuple
    label: int
    family: str


def follows(p, c):
    return relation(p, c) is YES


def why(s):
    p = replace(s.meaning(("event",)), negated=False)
    a = s.rng.choice(STATES)
    p1 = replace(p, state=a)
    if s.chance(0.7):
        b = s.other(STATES, a)
        p2 = replace(p, state=b)
        c1, c2 = Meaning("state", p.agent, state=a), Meaning("state", p.agent, state=b)
    else:
        (x, y) = s.people(2)
        p1, p2 = replace(p1, agent=x), replace(p1, agent=y)
        c1, c2 = Meaning("state", x, state=a), Meaning("state", y, state=a)
    return [(p1, "cause", c1, c2), (p2, "cause", c2, c1)]


FR = ("event", "meet", "stay", "compare", "before", "after", "give", "work")

def outcome(s):
    return linked(s, "effect", premise_of, follows)

def source(s):
    return linked(s, "cause", hypothesis_of, lambda p, c: follows(c, p))

def linked(s, question, draw, link):
    while True:
        c1 = s.meaning(FR, detail=0.35)
        c2 = hypothesis_of(s, c1, s.rng.choice((Relation.NEUTRAL, Relation.CONTRADICTION)))
        if c1.negated or c2 is None or c2.negated or c2.frame != c1.frame or follows(c2, c1): continue
        if question == "effect":
            p1, p2 = draw(s, c1, YES), draw(s, c2, YES)
        else:
            p1, p2 = draw(s, c1, YES), draw(s, c2, YES)
        if not p1 or not p2 or p1.negated or p2.negated or link(p1, c2) or link(p2, c1): continue
        return [(p1, question, c1, c2), (p2, question, c2, c1)]


def people(s):
    p = replace(s.meaning(("meet", "give", "before", "after")), negated=False)
    out = []
    for q in (p, p.swapped()):
        first, second = (q.agent, q.patient) if q.frame != "after" else (q.patient, q.agent)
        if s.chance(.5) and q.converse(): q = q.converse()
        out += [(q, "cause", first, second), (q, "effect", second, first)]
    return out

FAMS = dict(why=why, source=source, outcome=outcome, people=people)

@cache
def choice_items(split):
    s = Sampler(split, random.Random(f"xlprompt mini xcopa {VERSION} {split}"))
    items = {}
    styles = ("plain", "reworded")
    while len(items) < SIZES[split]:
        f = s.rng.choices(list(FAM), list(FAM.values()))[0]
        for p, q, right, wrong in FAMS[f](s):
            right, wrong = ((m, "plain") if isinstance(m, Meaning) else m for m in (right, wrong))
            label = s.rng.randrange(2)
            items[ChoiceItem(((p, s.rng.choice(styles)),), q, (wrong, right) if label else (right, wrong), label, f)] = None
    out = list(items)[:SIZES[split]]
    s.rng.shuffle(out)
    return tuple(out)
