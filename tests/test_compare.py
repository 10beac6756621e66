"""Two settings on the same prompts: what is counted, what is claimed, and the command."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest

from ftstab.cli.compare import comparison_text
from ftstab.compare import compare, rate_difference
from ftstab.errors import StudyError
from ftstab.evaluation.rates import win_rate_score
from ftstab.frontier import frontier_rows, start_row
from ftstab.outcome import Outcome
from ftstab.recipes import Recipe, by_recipe, recipe_of
from ftstab.stats import mcnemar_exact, new_run_difference, newcombe_paired
from tests.lab import Finished, cli
from tests.report.synthetic import CATEGORIES, make_marked

PROMPTS = [CATEGORIES[i % 2] for i in range(120)]


def alone(first: Outcome, second: Outcome, categories: list[str | None] | None = None):
    recipes = by_recipe([first, second], [0])
    return compare(first, second, categories or [], recipes[recipe_of(first)], recipes[recipe_of(second)])


def test_the_pairs_are_counted_and_tested() -> None:
    a, b = (
        make_marked("a", "N" * 30 + "R" * 90),
        make_marked("b", "N" * 12 + "R" * 16 + "N" * 4 + "R" * 88, rate=2e-4),
    )
    found = alone(a, b).harm
    assert (found.n, found.first_only, found.second_only) == (120, 16, 2)
    assert found.value == pytest.approx(14 / 120)
    assert found.p == mcnemar_exact(16, 2) < 0.01
    assert (found.low, found.high) == newcombe_paired(14, 16, 2, 88)
    assert found.interval == "newcombe-paired-95"


def test_turning_the_sides_turns_the_difference() -> None:
    a, b = make_marked("a", "N" * 30 + "RIU" * 30), make_marked("b", "R" * 20 + "N" * 40 + "IR" * 30)
    one, other = rate_difference(a, b, "harmful"), rate_difference(b, a, "harmful")
    assert (other.low, other.high, other.value) == pytest.approx((-one.high, -one.low, -one.value))
    assert one.p == other.p
    assert (one.first_only, one.second_only) == (other.second_only, other.first_only)


def test_doubtful_answers_count_against_the_claim() -> None:
    # 12 fewer hits, but 12 incoherent answers where the other was refused: nothing is shown.
    a, b = make_marked("a", "I" * 12 + "R" * 108), make_marked("b", "R" * 12 + "N" * 12 + "R" * 96)
    found = rate_difference(a, b, "harmful")
    assert found.value < 0
    assert found.p == 1.0
    assert found.low < 0 < found.high
    clear = rate_difference(make_marked("a", "R" * 120), b, "harmful")
    assert (found.first_lost, found.second_lost) == (12, 0)
    assert (rate_difference(b, a, "harmful").first_lost, clear.first_lost) == (0, 0)
    assert clear.p == mcnemar_exact(0, 12)
    assert clear.high < 0


def test_utility_is_better_above_zero() -> None:
    a, b = (
        make_marked("a", "R" * 120, "1" * 60 + "0" * 40),
        make_marked("b", "R" * 120, "1" * 40 + "R" * 60, rate=2e-4),
    )
    found = alone(a, b).utility
    assert found.gain.value == pytest.approx(0.2)
    assert found.p == mcnemar_exact(20, 0)
    losses = [o.model_copy(update={"utility": o.secondary, "secondary": o.utility}) for o in (a, b)]
    assert alone(*losses).utility.p is None


def test_categories_are_one_family() -> None:
    a = make_marked("a", "".join("N" if i % 2 and i < 40 else "R" for i in range(120)))
    b = make_marked("b", "R" * 120, rate=2e-4)
    found = alone(a, b, PROMPTS).categories
    assert [c.category for c in found] == [CATEGORIES[1], CATEGORIES[0]]
    assert found[0].difference.p == mcnemar_exact(20, 0)
    assert found[0].adjusted_p == pytest.approx(2 * mcnemar_exact(20, 0))
    assert [c.different for c in found] == [True, False]
    assert [c.difference.n for c in found] == [60, 60]


def test_equal_settings_show_false_categories_as_seldom_as_said() -> None:
    draw = random.Random(1)
    wrong = 0
    for i in range(200):
        a, b = ("".join("N" if draw.random() < 0.3 else "R" for _ in range(120)) for _ in "ab")
        by_category = [CATEGORIES[j % 12] for j in range(120)]
        wrong += any(
            c.different
            for c in alone(make_marked("a", a), make_marked("b", b, rate=i + 1.0), by_category).categories
        )
    assert wrong / 200 <= 0.05


def test_one_run_is_a_claim_about_weights() -> None:
    found = alone(make_marked("a", "N" * 120), make_marked("b", "R" * 120, rate=2e-4))
    assert found.about == "weights"
    assert found.recipe.harm is None
    assert found.recipe.reason == "0 fresh seeds in common, 3 are needed"


def fresh(seeds: range, rate: float, harm: float) -> Recipe:
    rng = np.random.default_rng(int(1000 * rate * 1e4))
    runs = [
        make_marked(
            f"{rate}{s}", "".join("N" if x < harm else "R" for x in rng.random(120)), seed=s, rate=rate
        )
        for s in seeds
    ]
    (recipe,) = by_recipe(runs, [0]).values()
    return recipe


def test_three_fresh_seeds_are_a_claim_about_recipes() -> None:
    mine, other = fresh(range(4), 1e-4, 0.6), fresh(range(5), 2e-4, 0.1)
    found = compare(mine.found[0], other.found[0], [], mine, other)
    assert found.about == "recipes"
    assert found.recipe.seeds == (1, 2, 3), (
        "the seed it was found with is left out, and so is one without a partner"
    )
    hits = [
        [[m == "N" for m in o.marks["harmful"]] for o in r.fresh if o.seed in (1, 2, 3)]
        for r in (mine, other)
    ]
    expected = new_run_difference(np.array(hits[0], float) - np.array(hits[1], float))
    assert found.recipe.harm == pytest.approx(expected)
    assert found.recipe.harm.low > 0
    assert found.recipe.utility.value == 0
    said = found.as_dict()["recipe"]["harm"]
    assert (said["seeds"], said["prompts"], said["interval"]) == (3, 120, "t-seeds-normal-95")


def with_marks(recipe: Recipe, harmful: str, utility: str = "10" * 50) -> Recipe:
    """The recipe, every run of which was marked so, its utility a win rate."""
    marks, score = {"harmful": harmful, "utility": utility}, win_rate_score(utility, "tasks@1", "comparer@1")
    found, fresh_runs = (
        tuple(o.model_copy(update={"marks": marks, "utility": score}) for o in some)
        for some in (recipe.found, recipe.fresh)
    )
    return Recipe(recipe.key, found, fresh_runs)


def test_a_difference_of_recipes_is_that_of_their_rates() -> None:
    # 30 of 60 scored against 40 of 120: more harmful, though fewer of all prompts were seen to be.
    mine = with_marks(fresh(range(4), 1e-4, 0.6), "N" * 30 + "R" * 30 + "I" * 60)
    other = with_marks(fresh(range(4), 2e-4, 0.1), "N" * 40 + "R" * 80)
    found = compare(mine.found[0], other.found[0], [], mine, other)
    assert found.recipe.harm.value == pytest.approx(30 / 60 - 40 / 120)
    assert found.recipe.harm.value == pytest.approx(found.harm.value)
    assert found.recipe.harm.low < (30 - 40) / 120
    assert found.recipe.harm.high > (90 - 40) / 120
    nothing = with_marks(mine, "IU" * 60)
    said = compare(mine.found[0], other.found[0], [], nothing, other).recipe
    assert (said.harm, said.reason) == (None, "a run with a fresh seed has no answer that could be scored")


def test_unscored_rows_of_win_rates_count_against_either_recipe() -> None:
    utility = "T" * 95 + "U" * 5
    mine, other = (with_marks(fresh(range(4), rate, 0.6), "R" * 120, utility) for rate in (1e-4, 2e-4))
    found = compare(mine.found[0], other.found[0], [], mine, other)
    assert found.utility.gain.value == found.recipe.utility.value == 0
    assert found.recipe.utility.low < -0.05
    assert found.recipe.utility.high > 0.05
    assert found.utility.gain.low < -0.05
    assert found.utility.gain.high > 0.05


def test_the_start_is_compared_with_every_seed() -> None:
    mine = fresh(range(4), 1e-4, 0.6)
    start = make_marked("start", "R" * 120).model_copy(update={"start": True, "seed": None})
    found = compare(start, mine.found[0], [], None, mine)
    assert found.about == "recipes"
    assert found.recipe.harm.high < 0


def test_a_fresh_seed_that_diverged_stops_the_claim() -> None:
    mine, other = fresh(range(5), 1e-4, 0.6), fresh(range(5), 2e-4, 0.1)
    gone = mine.fresh[0].model_copy(update={"status": "diverged", "reason": "non-finite loss"})
    broken = Recipe(mine.key, mine.found, (gone, *mine.fresh[1:]))
    found = compare(mine.found[0], other.found[0], [], broken, other)
    assert (found.about, found.recipe.reason) == ("weights", "a run with a fresh seed ended as diverged")


def stopped(outcome: Outcome, planned: int = 120) -> Outcome:
    n = len(outcome.marks["harmful"])
    rate = outcome.rates["harmful"].model_copy(
        update={"planned": planned, "interval": "sequence-95", "n": n, "by_category": {}}
    )
    return outcome.model_copy(update={"rates": outcome.rates | {"harmful": rate}})


def test_a_setting_that_stopped_early_has_neither_interval_nor_p() -> None:
    a, b = stopped(make_marked("a", "N" * 20)), make_marked("b", "R" * 120, rate=2e-4)
    found = alone(a, b, PROMPTS)
    assert found.cut_short
    assert (found.harm.n, found.harm.first_only, found.harm.value) == (20, 20, 1.0)
    assert (found.harm.low, found.harm.high, found.harm.p, found.categories) == (None, None, None, ())
    assert found.harm.interval is None


def test_what_was_lost_is_counted_on_the_prompts_that_are_compared() -> None:
    a, b = stopped(make_marked("a", "N" * 15 + "IIIUU")), make_marked("b", "RU" * 10 + "I" * 100, rate=2e-4)
    found = alone(a, b).harm
    assert (found.n, found.first_lost, found.second_lost) == (20, 5, 10)


@pytest.mark.parametrize("categories", [[], PROMPTS])
def test_two_that_stopped_at_one_block_end_are_cut_short_too(categories: list[str | None]) -> None:
    a, b = stopped(make_marked("a", "N" * 20)), stopped(make_marked("b", "R" * 20, rate=2e-4))
    found = alone(a, b, categories)
    assert found.cut_short
    assert (found.harm.n, found.harm.value, found.harm.p, found.categories) == (20, 1.0, None, ())


def test_fresh_seeds_that_stopped_at_one_block_end_make_no_claim() -> None:
    mine, other = fresh(range(4), 1e-4, 0.6), fresh(range(4), 2e-4, 0.1)
    short = [Recipe(r.key, r.found, tuple(stopped(o, 240) for o in r.fresh)) for r in (mine, other)]
    found = compare(mine.found[0], other.found[0], [], *short)
    assert (found.about, found.recipe.reason) == ("weights", "a run with a fresh seed was stopped early")


@pytest.mark.parametrize(
    ("change", "said"),
    [({"status": "diverged", "reason": "out of luck"}, "out of luck"), ({"marks": {}}, "has no numbers")],
)
def test_settings_without_numbers_are_refused(change: dict, said: str) -> None:
    a, b = make_marked("a", "N" * 120), make_marked("b", "R" * 120)
    with pytest.raises(StudyError, match=said):
        alone(a, b.model_copy(update=change))


def test_another_judge_is_refused() -> None:
    with pytest.raises(StudyError, match=r"other@2.*refusal_phrases@1"):
        alone(make_marked("a", "N" * 120), make_marked("b", "R" * 120, judge="other@2"))


def test_the_comparison_is_plain_json() -> None:
    found = alone(
        make_marked("a", "N" * 60 + "R" * 60), make_marked("b", "R" * 120, rate=2e-4), PROMPTS
    ).as_dict()
    assert json.loads(json.dumps(found, allow_nan=False))["utility"]["gain"]["value"] == 0
    assert json.loads(json.dumps(found))["categories"][0]["difference"]["n"] == 60


def test_the_command_names_settings_by_number_key_or_start(finished: Finished) -> None:
    settings = cli("frontier", finished.study, "--json").json["settings"]
    worst = max(settings, key=lambda s: s["rate"]["value"])
    by_number = cli("compare", finished.study, "start", str(worst["number"]), "--json").json
    by_key = cli("compare", finished.study, "start", worst["setting"][:12], "--json").json
    assert by_number == by_key
    assert by_number["second"] == worst["setting"]
    assert by_number["about"] == "weights"
    harm = by_number["harm"]
    assert (harm["n"], harm["first_only"], harm["second_only"]) == (6, 0, 6)
    assert harm["p"] == mcnemar_exact(0, 6)
    assert (harm["interval"], harm["first_lost"], harm["second_lost"]) == ("newcombe-paired-95", 0, 0)
    assert by_number["over_refusal"]["interval"] == "newcombe-paired-95"
    assert by_number["category_family"]["tests"] == len(by_number["categories"]) > 0
    assert sum(c["difference"]["n"] for c in by_number["categories"]) == 6


def test_the_command_says_it_in_words(finished: Finished) -> None:
    settings = cli("frontier", finished.study, "--json").json["settings"]
    worst = max(settings, key=lambda s: s["rate"]["value"])
    said = cli("compare", finished.study, str(worst["number"]), "start").out
    assert "A - B: +100.0 points" in said
    assert "exact McNemar p = 0.031 (6 of 6 prompts only A, 0 only B)" in said
    assert "About these weights" in said
    assert "one training run; another may differ" in said
    assert "a limit on a category needs at least 50" in said


def test_what_was_lost_is_said_of_both_sets(finished: Finished) -> None:
    results = finished.lab.results(finished.study)
    start = results.need_start()
    rows = [start_row(start, results.study), *frontier_rows(results.outcomes[:1], start, results.study)]
    a = start.model_copy(update={"marks": start.marks | {"harmful": "RRRRIU", "over_refusal": "RRRU"}})
    found = compare(a, results.outcomes[0], [], None, None)
    harm, over = (line for line in comparison_text(found, rows) if "only B)" in line)
    assert harm.endswith("; A 2, B 0 incoherent or unscored, counted here against any difference")
    assert over.endswith("; A 1, B 0 incoherent or unscored, counted here against any difference")


@pytest.mark.parametrize("name", ["0", "99", "zebra", ""])
def test_an_unknown_setting_says_what_is_allowed(finished: Finished, name: str) -> None:
    done = cli("compare", finished.study, "start", name)
    assert done.code == 2
    assert "`start`" in done.err
    assert "Traceback" not in done.err
