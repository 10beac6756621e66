"""The study file: typed, closed models and their loader.  Free of torch, so that it answers at once."""

from ftstab.spec.evaluation import Benchmark, Choices, Constraint, Decoding, Evaluation, Split, Utility
from ftstab.spec.frontier import Frontier
from ftstab.spec.judges import (
    ClassifierJudge,
    CombinedJudge,
    EndpointJudge,
    GuardJudge,
    JudgeSpec,
)
from ftstab.spec.load import load_judge, load_parts, load_study, parse_recorded, parse_study, study_text
from ftstab.spec.parts import Parts
from ftstab.spec.posthoc import PostHoc
from ftstab.spec.schema import schema_text
from ftstab.spec.search import Budget, Range, Search, Stall
from ftstab.spec.sources import Columns, Source
from ftstab.spec.stopping import Stopping
from ftstab.spec.study import Align, Base, Data, Resources, Seeds, Study, Template, Tracking
from ftstab.spec.training import AveragingSpec, Axes, Training

__all__ = [
    "Align",
    "AveragingSpec",
    "Axes",
    "Base",
    "Benchmark",
    "Budget",
    "Choices",
    "ClassifierJudge",
    "Columns",
    "CombinedJudge",
    "Constraint",
    "Data",
    "Decoding",
    "EndpointJudge",
    "Evaluation",
    "Frontier",
    "GuardJudge",
    "JudgeSpec",
    "Parts",
    "PostHoc",
    "Range",
    "Resources",
    "Search",
    "Seeds",
    "Source",
    "Split",
    "Stall",
    "Stopping",
    "Study",
    "Template",
    "Tracking",
    "Training",
    "Utility",
    "load_judge",
    "load_parts",
    "load_study",
    "parse_recorded",
    "parse_study",
    "schema_text",
    "study_text",
]
