"""The dimensions of a search and their coordinates."""

from __future__ import annotations

import pytest
from optuna.distributions import FloatDistribution, IntDistribution

from ftstab.outcome import Profile
from ftstab.search import Dimension, dimensions
from ftstab.spec import Range
from tests.search.material import study


def test_free_axes_come_after_trained_ones_and_single_values_are_none():
    space = dimensions(study(learning_rate={"low": 1e-5, "high": 1e-3, "scale": "log"}, batch_size=[4]))
    assert [(d.name, d.trained) for d in space] == [
        ("learning_rate", True),
        ("steps", False),
        ("average", False),
    ]


def test_averages_are_ordered_by_their_memory():
    (average,) = (d for d in dimensions(study(ema_decay=[0.9, 0, 0.5])) if d.name == "average")
    assert average.values == (
        Profile(kind="last"),
        Profile(kind="exponential", value=0.5),
        Profile(kind="exponential", value=0.9),
    )
    assert average.ordered


def test_a_fed_back_average_is_trained():
    space = dimensions(study(training={"ema_mode": "feedback"}, ema_decay=[0.5, 0.9]))
    assert ("ema_decay", True) in [(d.name, d.trained) for d in space]
    assert "average" not in [d.name for d in space]


@pytest.mark.parametrize(
    ("dimension", "share", "value"),
    [
        (Dimension("batch_size", (2, 4, 8, 16)), 0.0, 2),
        (Dimension("batch_size", (2, 4, 8, 16)), 0.99, 16),
        (Dimension("batch_size", (2, 4, 8, 16)), 1.0, 16),
        (Dimension("learning_rate", range=Range(low=1e-5, high=1e-3, scale="log")), 0.5, 1e-4),
        (Dimension("weight_decay", range=Range(low=0.0, high=1.0)), 0.25, 0.25),
        (Dimension("lora_r", range=Range(low=1, high=4), integer=True), 0.0, 1),
        (Dimension("lora_r", range=Range(low=1, high=4), integer=True), 0.30, 2),
        (Dimension("lora_r", range=Range(low=1, high=4), integer=True), 0.999, 4),
    ],
)
def test_a_share_of_the_way(dimension, share, value):
    assert dimension.at(share) == pytest.approx(value)


def test_coordinates_come_back():
    ranks = Dimension("batch_size", (2, 4, 8))
    assert isinstance(ranks.distribution(), IntDistribution)
    assert [ranks.value(ranks.coordinate(v)) for v in ranks.values] == [2, 4, 8]
    names = Dimension("schedule", ("constant", "cosine"))
    assert not names.ordered
    assert names.value(names.coordinate("cosine")) == "cosine"
    drawn = Dimension("learning_rate", range=Range(low=1e-5, high=1e-3, scale="log"))
    assert isinstance(drawn.distribution(), FloatDistribution)
    # Drawn numbers are short, and stay inside.
    assert drawn.value(0.000123456) == 0.000123
    assert drawn.value(1.0000001e-3) == 1e-3


def test_a_narrow_range_keeps_its_values_apart():
    narrow = Dimension("adam_beta2", range=Range(low=0.9995, high=0.9999))
    drawn = [narrow.at(i / 100) for i in range(100)]
    assert len(set(drawn)) == 100
    assert all(0.9995 <= value <= 0.9999 for value in drawn)
    assert max(len(str(value)) for value in drawn) <= 9


def test_a_number_that_a_person_gives_is_one_of_the_dimension():
    found = Dimension("max_grad_norm", range=Range(low=0.5, high=2.0)).given(1)
    assert (found, type(found)) == (1.0, float)
    # As it was given, not as it would have been drawn.
    assert Dimension("learning_rate", range=Range(low=1e-5, high=1e-3)).given(2.3456e-5) == 2.3456e-5
    listed = Dimension("weight_decay", (0.0, 1.0)).given(1)
    assert (listed, type(listed)) == (1.0, float)


def test_what_a_dimension_holds():
    assert Dimension("batch_size", (2, 4)).holds(4)
    assert not Dimension("batch_size", (2, 4)).holds(3)
    whole = Dimension("lora_r", range=Range(low=1, high=4), integer=True)
    assert whole.holds(3)
    assert not whole.holds(2.5)
    assert not whole.holds(5)
    assert not whole.holds(None)
    assert not whole.holds(True)
