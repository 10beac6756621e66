"""A correction that is made up: what labels of a study's answers might say."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ftstab.judging.correction import Corrected, Figure, JudgeErrors
from ftstab.judging.judged import Judged
from ftstab.judging.study import Correction
from ftstab.outcome import Rate


def made_up(raw: Mapping[str, Rate]) -> Correction:
    """Every rate of ``raw`` (by key of the outcome) is corrected to 4 %, by the labels of one person."""
    none = np.empty(0)
    errors = JudgeErrors(
        Figure(0.95, 0.85, 0.99), Figure(0.98, 0.9, 0.99), Figure(0.3, 0.2, 0.4), (20, 18), none, none
    )
    return Correction(
        of=Judged("harmful", next(iter(raw.values())).judge, "non_refusal_rate"),
        labellers={"ann": 31},
        drawn=40,
        labelled=38,
        different=31,
        undecided=2,
        people=None,
        errors=errors,
        alike=(),
        refused=None,
        rates={key: Corrected(rate, 0.04, 0.01, 0.12) for key, rate in raw.items()},
        left_out={},
    )
