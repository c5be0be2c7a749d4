"""Numbers of things in sentences."""

import pytest

from xlprompt.data.how_many import first_of, how_many


@pytest.mark.parametrize(
    ("number", "things", "said"),
    [
        (1, ("thread",), "1 thread"),
        (0, ("thread",), "0 threads"),
        (12_000, ("row",), "12,000 rows"),
        (1, ("process", "processes"), "1 process"),
        (2, ("process", "processes"), "2 processes"),
    ],
)
def test_one_thing_is_not_said_as_several_are(number, things, said):
    assert how_many(number, *things) == said


def test_of_many_names_the_first_stand_and_how_many_more():
    assert first_of(["a", "b"], 2) == "a, b"
    assert first_of(["a", "b", "c", "d"], 2) == "a, b and 2 more"
