"""Drawing meanings: from the split's own entities, complete, and the same from the same generator."""

import random

import pytest

from xlprompt.data.mini.sample import FRAME_WEIGHTS, Sampler, roles
from xlprompt.data.mini.world import CITIES, COUNTRIES, SPLITS, THINGS, entities, things_of


def drawn(split="train", number=2000, seed=0, **how):
    sampler = Sampler(split, random.Random(seed))
    return [sampler.meaning(**how) for _ in range(number)]


def test_the_same_generator_draws_the_same_meanings():
    assert drawn(number=300) == drawn(number=300)
    assert drawn(number=300) != drawn(number=300, seed=1)


@pytest.mark.parametrize("split", SPLITS)
def test_only_the_entities_of_the_split_appear(split):
    here = entities(split)
    for meaning in drawn(split):
        assert {meaning.agent, meaning.patient} - {None} <= set(here.people)
        assert meaning.organization is None or meaning.organization in here.organizations
        assert meaning.place in (None, *here.cities, *here.countries)


@pytest.mark.parametrize("split", SPLITS)
def test_only_the_things_of_the_split_are_acted_upon(split):
    for meaning in drawn(split, frames=("event",)):
        if meaning.thing.concept in THINGS:
            assert meaning.thing.concept in things_of(meaning.action, split)


def test_every_frame_is_drawn_about_as_often_as_its_weight_says():
    meanings = drawn(number=4000)
    total = sum(FRAME_WEIGHTS.values())
    for frame, weight in FRAME_WEIGHTS.items():
        share = sum(meaning.frame == frame for meaning in meanings) / len(meanings)
        assert share == pytest.approx(weight / total, abs=0.03)


def test_frames_may_be_chosen():
    assert {meaning.frame for meaning in drawn(number=200, frames=("give", "open"))} == {"give", "open"}


def test_two_people_of_a_meaning_share_no_name():
    for meaning in drawn():
        if meaning.agent and meaning.patient:
            assert meaning.agent.given != meaning.patient.given
            assert meaning.agent.family != meaning.patient.family


def test_detail_decides_how_many_optional_roles_are_filled():
    for meaning in drawn(number=500, detail=1.0):
        assert all(getattr(meaning, role) for role in roles(meaning))
    for meaning in drawn(number=500, detail=0.0, frames=("event", "meet", "work", "before")):
        assert not any(getattr(meaning, role) for role in roles(meaning))


def test_a_stay_is_somewhere_and_an_opening_is_somewhere_or_some_time():
    assert all(meaning.site or meaning.place for meaning in drawn(detail=0.0, frames=("stay",)))
    assert all(meaning.place or meaning.time for meaning in drawn(detail=0.0, frames=("open",)))


def test_what_is_denied_is_not_counted_and_has_no_cause():
    denied = [meaning for meaning in drawn() if meaning.negated]
    assert denied
    assert not any(meaning.state or (meaning.thing and meaning.thing.count) for meaning in denied)


def test_a_filled_role_gets_another_value():
    sampler = Sampler("train", random.Random(0))
    for meaning in drawn(number=500):
        for role in roles(meaning):
            assert getattr(sampler.filled(meaning, role), role) not in (None, getattr(meaning, role))


def test_a_role_that_no_frame_has_is_refused():
    sampler = Sampler("train", random.Random(0))
    with pytest.raises(ValueError, match="weather"):
        sampler.filled(sampler.meaning(), "weather")


def test_the_cities_of_a_country_lie_in_it():
    sampler = Sampler("pretraining", random.Random(0))
    for country in COUNTRIES:
        cities = sampler.cities(country)
        assert cities
        assert {CITIES[city] for city in cities} == {country}
