"""Near-duplicate groups: what counts as the same, and how quickly it is found."""

from __future__ import annotations

import random
import time
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftstab.data.duplicates import content_words, groups, near


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("How do I bake a cake?", "how do i BAKE the cakes", True),
        ("Write an out-of-office message for a week.", "Write an out of office message for two weeks", True),
        ("What's the capital of Peru?", "What’s the capital of Peru", True),
        (
            "What is the difference between libel and slander?",
            "What is the difference between jam and jelly?",
            False,
        ),
        ("How do I get rid of limescale?", "How do I get rid of moss?", False),
        ("What was that?", "Who are you?", False),
        ("???", "!!!", False),
        ("???", "???", True),
        ("今日はとても良い天気ですね", "今日はとても良い天気です", True),
        ("今日はとても良い天気ですね", "明日の会議は何時からですか", False),
        ("", "", True),
    ],
)
def test_pairs(first: str, second: str, same: bool) -> None:
    numbers = groups([first, second])
    assert (numbers[0] == numbers[1]) is same


def test_groups_are_transitive_and_numbered_by_first_appearance() -> None:
    chain = ["red green blue", "green blue black", "blue black white"]
    assert groups(["alone here", *chain], threshold=0.5) == [0, 1, 1, 1]
    assert groups([chain[0], chain[2], "alone here"], threshold=0.5) == [0, 1, 2]
    assert groups([]) == []


WORDS = ["ant", "bee", "cat", "dog", "elk", "fox", "gnu"]


@given(st.lists(st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join), max_size=12), st.floats(0.05, 1))
def test_equals_pairwise_comparison(texts: list[str], threshold: float) -> None:
    words = [content_words(t) for t in texts]
    number = list(range(len(texts)))
    for a, b in combinations(range(len(texts)), 2):
        if len(words[a] & words[b]) >= threshold * len(words[a] | words[b]) - 1e-9:
            number = [number[a] if n == number[b] else n for n in number]
    found = groups(texts, threshold)
    pairs = list(combinations(range(len(texts)), 2))
    assert [found[a] == found[b] for a, b in pairs] == [number[a] == number[b] for a, b in pairs]


@given(st.lists(st.text(max_size=30), max_size=10), st.randoms())
def test_order_of_texts_does_not_matter(texts: list[str], rng: random.Random) -> None:
    order = list(range(len(texts)))
    rng.shuffle(order)
    plain, shuffled = groups(texts), groups([texts[i] for i in order])
    place = {i: k for k, i in enumerate(order)}
    for a, b in combinations(range(len(texts)), 2):
        assert (plain[a] == plain[b]) == (shuffled[place[a]] == shuffled[place[b]])


def test_texts_are_held_against_others_and_not_against_each_other() -> None:
    texts = ["Bake a cake", "bake the cakes", "Name a river", "Open the door"]
    assert near(texts, ["name the rivers", "a bridge"]) == [False, False, True, False]
    # A near-duplicate of a near-duplicate is none.
    assert near(["one two three four"], ["two three four five six"]) == [False]
    assert near(texts, texts[:1]) == [True, True, False, False]
    assert near(texts, []) == [False] * 4
    assert near([], texts) == []


def test_five_thousand_texts_take_seconds() -> None:
    rng = random.Random(0)
    vocabulary = [f"word{i}x" for i in range(3000)]
    weights = [1 / (i + 1) for i in range(3000)]
    texts = [" ".join(rng.choices(vocabulary, weights, k=30)) for _ in range(5000)]
    texts[4999] = texts[0] + " more"
    began = time.process_time()
    found = groups(texts)
    assert time.process_time() - began < 10
    assert found[4999] == found[0]
