"""Who and what the splits may speak of: nothing of one is in another, and pretraining meets every name."""

from itertools import combinations

import pytest

from xlprompt.data.mini import world
from xlprompt.data.mini.world import ACTIONS, CITIES, SPLITS, THINGS, Person, entities, things_of

BENCHMARK = ("train", "validation", "test")


@pytest.mark.parametrize(("one", "other"), list(combinations(SPLITS, 2)))
def test_no_person_and_no_organization_is_in_two_splits(one, other):
    assert not set(entities(one).people) & set(entities(other).people)
    assert not set(entities(one).organizations) & set(entities(other).organizations)


@pytest.mark.parametrize(("one", "other"), list(combinations(BENCHMARK, 2)))
def test_splits_of_the_benchmark_share_no_name_and_no_place(one, other):
    mine, yours = entities(one), entities(other)
    for part in ("given", "family"):
        assert not {getattr(who, part) for who in mine.people} & {getattr(who, part) for who in yours.people}
    assert not {org.name for org in mine.organizations} & {org.name for org in yours.organizations}
    assert not set(mine.cities) & set(yours.cities)
    assert not set(mine.countries) & set(yours.countries)


@pytest.mark.parametrize("split", SPLITS)
def test_the_cities_of_a_split_are_those_of_its_countries(split):
    here = entities(split)
    assert {city for city, country in CITIES.items() if country in here.countries} == set(here.cities)


@pytest.mark.parametrize("split", SPLITS)
def test_every_split_has_women_men_and_every_type_of_organization(split):
    here = entities(split)
    assert {who.gender for who in here.people} == {"f", "m"}
    assert {org.type for org in here.organizations} == set(world.ORGANIZATION_TYPES)
    assert all(org.name for org in here.organizations)


def test_pretraining_meets_every_name_though_no_person_or_organization_of_the_benchmark():
    here = entities("pretraining")
    assert {who.given for who in here.people} == {*world.WOMEN, *world.MEN}
    assert {who.family for who in here.people} == set(world.FAMILIES)
    assert {org.name for org in here.organizations} == set(world.ORGANIZATION_NAMES)
    assert set(here.cities) == set(CITIES)
    assert set(here.countries) == set(world.COUNTRIES)


@pytest.mark.parametrize("action", ACTIONS)
def test_what_an_action_is_done_to_is_divided_between_the_splits(action):
    things = [thing for split in BENCHMARK for thing in things_of(action, split)]
    assert sorted(things) == sorted(THINGS)
    assert set(things_of(action, "pretraining")) == set(THINGS)


@pytest.mark.parametrize("split", SPLITS)
def test_every_thing_is_met_with_some_action_in_every_split(split):
    assert {thing for action in ACTIONS for thing in things_of(action, split)} == set(THINGS)


def test_gender_follows_the_given_name():
    assert [Person("anna", "sato").gender, Person("marco", "sato").gender] == ["f", "m"]


def test_qualities_are_opposites_of_each_other():
    assert all(world.OPPOSITES[opposite] == quality for quality, opposite in world.OPPOSITES.items())
