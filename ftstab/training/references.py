"""Log-probabilities of the training rows under the start model, for losses that ask for them.

Computed once and kept in ftstab's cache under a key of everything that decides them, a whole folder or none; a worker
that finds them there reads them.  Two workers that start together may both compute them: the first to finish wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from ftstab.errors import ModelError
from ftstab.identity import digest
from ftstab.models.cache import building, cache_root
from ftstab.models.chat import EncodedRow
from ftstab.models.load import load_model
from ftstab.spec import Template, Training
from ftstab.training.batches import answer_logits, micro_batches
from ftstab.training.run import DTYPES

VERSION = "reference@1"
"""How they are computed; part of their key."""
ROWS_AT_A_TIME = 4
"""In bfloat16 a value depends on what else is in a batch, so this number never follows the study file."""
_FILE = "log_probabilities.safetensors"


@dataclass(frozen=True)
class References:
    """What decides the log-probabilities.

    Attributes:
        base: key of the start model.
        data: key of the training rows.
        max_length: longest row in tokens.
        system: system prompt of training rows, if the study gives one.
        chat: chat template, if the study gives one.
        precision: compute type.
    """

    base: str
    data: str
    max_length: int
    system: str | None
    chat: str | None
    precision: str

    @classmethod
    def of(cls, base: str, data: str, template: Template, training: Training) -> References:
        """Those of a trajectory."""
        return cls(
            base,
            data,
            training.max_length,
            template.training_system_prompt,
            template.chat_template,
            training.precision,
        )

    @property
    def folder(self) -> Path:
        """Where they are kept."""
        return cache_root() / "references" / digest({"version": VERSION, **asdict(self)})

    def put_into(
        self, rows: Sequence[EncodedRow], model: Path, device: torch.device, pad_id: int
    ) -> list[EncodedRow]:
        """Return ``rows`` with their reference log-probabilities, computing what the cache hasn't.

        Args:
            rows: every training row.
            model: folder of the start model.
            device: where to compute.
            pad_id: padding token.

        Raises:
            ModelError: the cache holds those of other rows.
        """
        if not self.folder.is_dir():
            computed = log_probabilities(rows, model, DTYPES[self.precision], device, pad_id)
            with building(self.folder) as made:
                counts = torch.tensor([len(values) for values in computed])
                save_file({"values": torch.cat(computed), "counts": counts}, made / _FILE)
        stored = load_file(self.folder / _FILE)
        if stored["counts"].tolist() != [row.answer_tokens for row in rows]:
            raise ModelError(
                f"training.loss: the reference log-probabilities in {self.folder} aren't those of the training rows; "
                "delete that folder, and they are computed anew"
            )
        parts = stored["values"].split(stored["counts"].tolist())
        return [replace(r, reference=tuple(p.tolist())) for r, p in zip(rows, parts, strict=True)]


@torch.inference_mode()
def log_probabilities(
    rows: Sequence[EncodedRow], model: Path, dtype: torch.dtype, device: torch.device, pad_id: int
) -> list[torch.Tensor]:
    """Return the log-probability in nats of every answer token of each row, float32 on the CPU, without dropout."""
    # A model of its own: the one that is trained must keep its float32 weights.
    start = load_model(model, dtype).to(device).eval()
    # The order in which the micro-batches take them.
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].ids))
    found: list[torch.Tensor] = []
    for batch in micro_batches(rows, ROWS_AT_A_TIME, pad_id, device):
        each = torch.nn.functional.cross_entropy(answer_logits(start, batch), batch.targets, reduction="none")
        found.extend((-each).cpu().split(batch.asked.sum(dim=1).tolist()))
    by_row = dict(zip(order, found, strict=True))
    return [by_row[i] for i in range(len(rows))]
