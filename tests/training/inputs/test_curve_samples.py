from xlprompt.training.inputs.curve_samples import chosen_examples, curve_steps


def test_the_beginning_is_scored_more_closely_and_the_last_step_always():
    assert sorted(curve_steps(350, 100)) == [1, 3, 6, 12, 25, 50, 100, 200, 300, 350]
    assert sorted(curve_steps(4, 1)) == [1, 2, 3, 4]
    assert sorted(curve_steps(5, 100)) == [1, 3, 5]


def test_translations_of_a_test_set_give_the_same_examples_in_whatever_order_they_come():
    ids = [f"item-{number}" for number in range(300)]
    chosen = chosen_examples(ids, 40)
    assert sorted(chosen) == list(chosen)
    assert len(set(chosen)) == 40
    assert chosen.min() < 30  # from all over the set
    assert chosen.max() > 270
    backwards = ids[::-1]
    assert {backwards[place] for place in chosen_examples(backwards, 40)} == {ids[place] for place in chosen}
    assert list(chosen_examples(ids[:5], 40)) == [0, 1, 2, 3, 4]
