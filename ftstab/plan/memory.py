"""What one trajectory needs of its GPU's memory (or of the main memory), whether that is there, and what would fit.

Counted from the shapes that `ftstab.training` keeps: everything of a trajectory lies on one device.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ftstab.plan.hardware import GB, GPUS
from ftstab.plan.plan import Trajectory
from ftstab.plan.sizes import KNOWN, Size
from ftstab.spec import Decoding, Evaluation, Training
from ftstab.spec.judges import ClassifierJudge, CombinedJudge, GuardJudge, JudgeSpec

_BYTES = {"bfloat16": 2, "float32": 4}
_LIBRARIES = GB // 2
"""torch, transformers and the device's context."""
_PROMPT_TOKENS = 100
"""Assumed length of a prompt with its template."""


@dataclass(frozen=True)
class Memory:
    """Bytes of one trajectory, by what they hold.

    Attributes:
        optimizer: float32 masters, their gradients, AdamW's two moments: 16 bytes a trained weight.
        start: float32 copy of the trained weights at the start.
        model: the compute copy and its gradients; with LoRA the frozen model, in the compute type and in float32.
        shadows: the bank of averages; with LoRA the factors of every step.
        activations: of the longest micro-batch, or the keys and values of the answers, whichever is more.
        judges: weights of judges that run beside it.
        libraries: torch, transformers and the device's context.
        loading: what is held at once while the model is loaded.
        each_shadow: one shadow more.
    """

    optimizer: int
    start: int
    model: int
    shadows: int
    activations: int
    judges: int
    libraries: int
    loading: int
    each_shadow: int

    @property
    def total(self) -> int:
        """The most that is held at a time."""
        parts = self.optimizer + self.start + self.model + self.shadows + self.activations
        return max(parts, self.loading) + self.judges + self.libraries


@dataclass(frozen=True)
class Need:
    """What decides the memory of a trajectory.

    Attributes:
        size: of the model.
        training: how it is trained.
        shadows: float32 shadows that it carries; with LoRA, where any is asked for, the factors of every step.
        steps: its last step.
        decoding: how it is asked.
        judges: bytes of judges with weights beside it.
    """

    size: Size
    training: Training
    shadows: int
    steps: int
    decoding: Decoding
    judges: int = 0

    @property
    def memory(self) -> Memory:
        """The bytes."""
        size, t = self.size, self.training
        compute = _BYTES[t.precision]
        trained = trained_weights(size, t)
        if t.method == "lora":
            kept = self.steps if self.shadows else 0
            model, shadows, each, loading = compute + 4, 4 * trained * kept, 0, 8
        else:
            model, shadows, each, loading = 2 * compute, 4 * trained * self.shadows, 4 * trained, 8
        return Memory(
            optimizer=16 * trained,
            start=4 * trained,
            model=model * size.parameters,
            shadows=shadows,
            activations=max(self._training_tokens(), self._cache()),
            judges=self.judges,
            libraries=_LIBRARIES,
            loading=loading * size.parameters,
            each_shadow=each,
        )

    def _training_tokens(self) -> int:
        """What the backward pass needs of the longest micro-batch.

        In bfloat16 26 bytes a layer for each number of the residual stream and 8 for each one inside the feed-forward
        part: fitted to the tensors that transformers' Llama saves (47 bytes where the inside is 2.7 times as wide).
        Logits: 14 bytes for each answer token and entry of the vocabulary (both types, softmax, gradient).
        """
        size, t = self.size, self.training
        tokens = min(t.batch_size, t.micro_batch_size) * t.max_length
        layer = (26 * size.hidden + 8 * size.intermediate) * _BYTES[t.precision] // 2
        return tokens * (size.layers * layer + 14 * size.vocabulary)

    def _cache(self) -> int:
        """Keys and values of a batch of answers of full length."""
        tokens = self.decoding.batch_size * (_PROMPT_TOKENS + self.decoding.max_new_tokens)
        return tokens * 2 * self.size.keys * self.size.layers * _BYTES[self.training.precision]


def trained_weights(size: Size, training: Training) -> int:
    """Weights that are trained: all, or the factors of every linear layer but the last."""
    if training.method == "full":
        return size.parameters
    widths = 2 * size.hidden + 2 * (
        size.hidden + size.keys
    )  # queries and output, keys and values: in and out
    widths += 2 * size.hidden + 3 * (size.hidden + size.intermediate)
    return training.lora_r * size.layers * widths


def shadows(trajectory: Trajectory) -> int:
    """Number of float32 shadows that the trajectory carries."""
    tracked = {shadow for s in trajectory.settings for shadow in s.profile.shadows}
    return len(tracked) + (trajectory.feedback_decay is not None)


def need_of(t: Trajectory, size: Size, evaluation: Evaluation) -> Need:
    """What the trajectory ``t`` needs."""
    return Need(size, t.training, shadows(t), t.last, evaluation.decoding, judge_bytes(evaluation)[0])


def judge_bytes(evaluation: Evaluation) -> tuple[int, list[str]]:
    """Bytes of the judges with weights that run on a trajectory's device, and those of unknown size."""
    judges = [
        *evaluation.harmful.judges,
        *(evaluation.over_refusal.judges if evaluation.over_refusal else []),
    ]
    found = {(j.model, j.precision): j for j in _with_weights(judges) if j.device != "cpu"}
    unknown = sorted({model for model, _ in found if model not in KNOWN})
    total = sum(KNOWN[m].parameters * _BYTES[p] for m, p in found if m in KNOWN)
    return total, unknown


def _with_weights(judges: Sequence[JudgeSpec]) -> Iterable[ClassifierJudge | GuardJudge]:
    for spec in judges:
        if isinstance(spec, CombinedJudge):
            yield from _with_weights(spec.members)
        elif isinstance(spec, ClassifierJudge | GuardJudge):
            yield spec


@dataclass(frozen=True)
class Room:
    """The memory that one trajectory may take.

    Attributes:
        bytes: how much.
        where: of what, in words.
        on_gpu: whether it is a GPU's.
    """

    bytes: int
    where: str
    on_gpu: bool


@dataclass(frozen=True)
class Fit:
    """Whether a trajectory fits.

    Attributes:
        room_bytes: what there is.
        where: of what, in words.
        fits: whether the largest trajectory fits.
        would: what would fit, each with what it needs; empty where it fits.
    """

    room_bytes: int
    where: str
    fits: bool
    would: tuple[str, ...] = ()


def fit(need: Need, room: Room) -> Fit:
    """Say whether ``need`` fits into ``room``, and if not, which change of the study file would do, or which pair."""
    total = need.memory.total
    if total <= room.bytes:
        return Fit(room.bytes, room.where, True)
    kinds = _changes(need)
    would = [words for changes in kinds.values() for words, _ in _first_that_fits(changes, room)]
    if not would:
        pairs: dict[frozenset[str], str] = {}
        for kind, changes in kinds.items():
            words, other = changes[-1]
            for more, second in _changes(other).items():
                for rest, _ in _first_that_fits(second, room) if more != kind else ():
                    pairs.setdefault(frozenset((kind, more)), f"{words} with {rest}")
        would = list(pairs.values())
    if room.on_gpu:
        gpus = [name for name, gpu in GPUS.items() if gpu.memory >= total]
        least = f"a GPU with {-(-total // GB)} GB or more"
        would.append(f"{least}, e.g. {gpus[0]}" if gpus else least)
    return Fit(room.bytes, room.where, False, tuple(would))


Changes = list[tuple[str, Need]]


def _first_that_fits(changes: Changes, room: Room) -> Changes:
    return [(words, need) for words, need in changes if need.memory.total <= room.bytes][:1]


def _fewer(count: int, now: int) -> str:
    hint = " (`posthoc` rebuilds other decays from them)" if count > 1 else ""
    return f"{count} shadows in place of {now}{hint}"


def _changes(need: Need) -> dict[str, Changes]:
    """Changes of a study file that need less, by kind, the mildest of each kind first."""
    t = need.training
    lora = t.model_copy(update={"method": "lora"})
    if t.method == "full":
        fewer = [replace(need, shadows=count) for count in reversed(range(need.shadows))]
        averages = [(_fewer(n.shadows, need.shadows), n) for n in fewer]
        method = [(f"`training.method: lora` of rank {t.lora_r}", replace(need, training=lora))]
    else:
        averages, method = [], []
        if need.shadows:
            averages = [
                ("no averages (with LoRA they keep the factors of every step)", replace(need, shadows=0))
            ]
    judges = (
        [("judges behind an endpoint or with `device: cpu`", replace(need, judges=0))] if need.judges else []
    )
    sizes = [2**i for i in range(10) if 2**i < min(t.micro_batch_size, t.batch_size)]
    smaller = [(m, t.model_copy(update={"micro_batch_size": m})) for m in reversed(sizes)]
    micro = [(f"`training.micro_batch_size: {m}`", replace(need, training=s)) for m, s in smaller]
    kinds = {"averages": averages, "method": method, "judges": judges, "micro": micro}
    return {kind: changes for kind, changes in kinds.items() if changes}
