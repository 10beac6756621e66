"""Which settings can be asked without training: those whose weights the kept copies of an attempt hold.

Reads the store and writes nothing; free of torch.
"""

from __future__ import annotations

from collections.abc import Collection

from ftstab.outcome import Profile, StoredShadows
from ftstab.plan import Setting
from ftstab.store import Records
from ftstab.training.posthoc import LAST, SHADOWS, copy_steps


def attempt_with(
    records: Records, trajectory: str, settings: Collection[Setting]
) -> tuple[str, StoredShadows] | None:
    """Return the attempt of ``trajectory`` whose kept copies hold the weights of all ``settings``, and which shadows
    it stored; None without one.

    Copies hold, at the steps where they lie, the last weights, the averages of the stored decays, and those that are
    rebuilt from them.
    """
    if not settings:
        return None
    for attempt, about in records.kept_copies(trajectory).items():
        stored = StoredShadows.model_validate(about)
        if all(_fits(s.profile, stored) for s in settings) and _lie(
            records, trajectory, attempt, stored, settings
        ):
            return attempt, stored
    return None


def _fits(profile: Profile, stored: StoredShadows) -> bool:
    held = {Profile(kind="exponential", value=decay) for decay in stored.decays}
    return profile.stored in (None, stored) and held >= set(profile.shadows)


def _lie(
    records: Records, trajectory: str, attempt: str, stored: StoredShadows, settings: Collection[Setting]
) -> bool:
    """Whether every copy is in the store that ``settings`` are made from."""
    steps = {s.step for s in settings}
    before = {step for s in settings if s.profile.stored for step in copy_steps(stored.every, s.step)}
    pieces = [(records.copy(trajectory, attempt, s), {SHADOWS, LAST}) for s in steps]
    pieces += [(records.copy(trajectory, attempt, s), {SHADOWS}) for s in before - steps]
    return all(piece is not None and names <= set(piece.names) for piece, names in pieces)
