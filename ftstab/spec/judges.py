"""The judges that a study file can describe, beside those it names.  No weights and no network here."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from ftstab.errors import nearest
from ftstab.spec.closed import NAME, UNSHOWN, Closed
from ftstab.spec.variables import VariableName

SINGLE = ("classifier", "endpoint", "guard")
"""Kinds of judge that a section of the study file can describe ..."""
KINDS = (*SINGLE, "agreement", "majority")
"""... and those that put several of them together."""

JudgeName = Annotated[str, Field(pattern=NAME)]
Says = Literal["refused", "complied", "safe", "harmful", "unscored"]


class _Named(Closed):
    name: JudgeName | None = None
    """Stands in labels before the @; null: made of the kind and the model."""


class _Weights(_Named):
    """A judge whose weights run in a process of their own."""

    model: Annotated[str, Field(min_length=1)]
    """A folder (relative to the study file) or a Hugging Face id."""
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    """Commit of a Hugging Face id, all 40 digits: the label has to change whenever a verdict could."""
    batch_size: Annotated[int, Field(ge=1)] = 16
    """Answers read at a time."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the judge runs; `auto`: on a GPU if its process sees one."""
    threads: Annotated[int, Field(ge=1)] = 1
    """CPU threads of the judge's process."""


class ClassifierJudge(_Weights):
    """Any Hugging Face sequence-classification model."""

    kind: Literal["classifier"]
    """Any Hugging Face sequence-classification model."""
    labels: Annotated[dict[str, Says], Field(min_length=1)]
    """What each label of the model means: refused or complied for a judge of refusals, safe or harmful for a judge
    of harm, unscored for neither."""
    reads: Literal["answer", "prompt_and_answer"] = "answer"
    """What the model is shown: the answer alone, or prompt and answer as a pair of texts."""
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Probability from which an answer counts as complied or harmful."""
    max_length: Annotated[int, Field(ge=8)] = 512
    """Longest input in tokens; the end of longer answers is cut."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Compute type."""


Family = Literal["llama_guard_2", "llama_guard_3", "wildguard", "harmbench_classifier", "md_judge"]


class GuardJudge(_Weights):
    """A generative guard model, asked in the form it was trained on."""

    kind: Literal["guard"]
    """A generative guard model, run locally."""
    family: Family
    """Prompt form and answer form: those of Llama Guard 2 and 3, WildGuard, the HarmBench classifier on Llama 2 and
    MD-Judge v0.1."""
    sees: Literal["harm", "refusal"] = "harm"
    """What of the guard's answer counts; `refusal` for `wildguard` only."""
    max_length: Annotated[int, Field(ge=64)] = 4096
    """Longest prompt of the guard in tokens; the end of longer answers is cut."""
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    """Compute type."""


def _base_url(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("wanted is the base address of the API, e.g. http://127.0.0.1:8000/v1")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise PydanticCustomError(
            UNSHOWN,
            "it holds more than an address (a login, `?` or `#`) and would be stored with the study; give the "
            "address alone, and the key by the name of an environment variable in `api_key_env`",
        )
    return url.rstrip("/")


class Endpoint(_Named):
    """A model behind an OpenAI-compatible chat endpoint (vLLM, llama.cpp, vendors), asked at temperature 0."""

    url: Annotated[str, AfterValidator(_base_url)]
    """Base address; `/chat/completions` is put behind it."""
    model: Annotated[str, Field(min_length=1)]
    """Model name that the server knows."""
    api_key_env: VariableName = None
    """Environment variable, on the machine of the worker, that holds the key; null: none is sent."""
    max_tokens: Annotated[int, Field(ge=1)] = 16
    """Longest reply; a model that thinks aloud first needs more."""
    max_answer_chars: Annotated[int, Field(ge=100)] = 8000
    """The end of longer answers is cut."""
    request: dict[str, str | int | float | bool | None] = {}
    """Further fields of the request, e.g. `seed`; null leaves a usual one out."""
    timeout: Annotated[float, Field(gt=0)] = 60.0
    """Seconds that one request may take in all."""
    retries: Annotated[int, Field(ge=0)] = 5
    """Further tries after a timeout, a lost connection, broken JSON, or status 408, 409, 425, 429, 5xx."""
    retry_seconds: Annotated[float, Field(ge=0)] = 1.0
    """First wait between two tries; it doubles each time, unless the server's Retry-After says how long."""
    longest_wait: Annotated[float, Field(ge=0)] = 120.0
    """Longest wait in seconds; a server that asks for more is given up."""
    requests_per_minute: Annotated[float, Field(gt=0)] | None = None
    """Rate limit, retries included; null: none."""
    concurrency: Annotated[int, Field(ge=1)] = 4
    """Requests under way at a time."""
    price_in: Annotated[float, Field(ge=0)] | None = None
    """Price of a million prompt tokens, for the cost estimate."""
    price_out: Annotated[float, Field(ge=0)] | None = None
    """Price of a million reply tokens."""


class EndpointJudge(Endpoint):
    """An `Endpoint` that is asked about one answer at a time."""

    kind: Literal["endpoint"]
    """A model behind an OpenAI-compatible chat endpoint."""
    sees: Literal["harm", "refusal"]
    """What it is asked: whether the answer is harmful, or whether it refuses."""
    wording: Literal["plain", "rubric"] = "plain"
    """How it is asked: one sentence, or with rules for doubtful cases.  The wording moves rates; it stands in the
    label with its version and hash."""


class EndpointComparer(Endpoint):
    """An `Endpoint` that is asked which of two answers is the better one."""

    kind: Literal["endpoint"]
    """A model behind an OpenAI-compatible chat endpoint."""


def _kind(value: Any) -> str | None:
    """The kind of judge that a value is meant for."""
    if isinstance(value, str):
        return "name"
    found = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return found if isinstance(found, str) else None


def _tag(value: Any) -> str | None:
    kind = _kind(value)
    return "combined" if kind in ("agreement", "majority") else kind


def _known(value: Any, kinds: Sequence[str]) -> Any:
    kind = _kind(value)
    if kind == "name" or kind in kinds:
        return value
    allowed = f"give the name of a judge, or a section with `kind`, one of {', '.join(kinds)}"
    if kind is not None:
        raise ValueError(f"kind {kind!r} isn't among them{nearest(kind, kinds)}; {allowed}")
    raise ValueError(allowed)


MemberField = Annotated[
    Annotated[str, Tag("name")]
    | Annotated[ClassifierJudge, Tag("classifier")]
    | Annotated[GuardJudge, Tag("guard")]
    | Annotated[EndpointJudge, Tag("endpoint")],
    Discriminator(_tag),
    BeforeValidator(lambda value: _known(value, SINGLE)),
]
"""A judge that several others may be combined from."""


class CombinedJudge(_Named):
    """Several judges over the same answers; where they don't decide, the answer is unscored."""

    kind: Literal["agreement", "majority"]
    """`agreement`: what all of them say; `majority`: what more than half of them say.  Without that, unscored."""
    members: Annotated[list[MemberField], Field(min_length=2)]
    """Judges that see the same thing: all refusals, or all harm."""


JudgeField = Annotated[
    Annotated[str, Tag("name")]
    | Annotated[ClassifierJudge, Tag("classifier")]
    | Annotated[GuardJudge, Tag("guard")]
    | Annotated[EndpointJudge, Tag("endpoint")]
    | Annotated[CombinedJudge, Tag("combined")],
    Discriminator(_tag),
    BeforeValidator(lambda value: _known(value, KINDS)),
]
"""The name of a judge, or its description."""

JudgeSpec = str | ClassifierJudge | GuardJudge | EndpointJudge | CombinedJudge


class JudgeFile(Closed):
    """What a file that describes one judge holds, below a key that the file itself doesn't have."""

    judge: JudgeField
    """The judge."""


def made_name(kind: str, model: str) -> str:
    """The name of a judge that was given none, e.g. ``guard-Llama-Guard-3-8B``."""
    last = re.sub(r"[^A-Za-z0-9._-]+", "-", model.rstrip("/").rsplit("/", 1)[-1])
    return f"{kind}-{last}"[:64]
