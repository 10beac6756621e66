"""Requests of lm-evaluation-harness as tokens, made as its `HFLM` makes them.  No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ftstab.errors import DataError
from ftstab.evaluation.harness_files import WHERE
from ftstab.models.chat import Chat


@dataclass(frozen=True)
class Piece:
    """Tokens to be read: how likely is ``asked`` after ``given``?"""

    given: tuple[int, ...]
    asked: tuple[int, ...]

    @property
    def length(self) -> int:
        """All its tokens."""
        return len(self.given) + len(self.asked)


class Tokens:
    """From texts to tokens, as the harness' `HFLM` makes them."""

    def __init__(self, chat: Chat) -> None:
        self.chat = chat
        first = chat.tokenizer.bos_token_id
        # What a text without a beginning is read after.
        self.first = int(chat.eos_id if first is None else first)
        self.first_text = str(chat.tokenizer.decode(self.first))

    def prompt(self, text: str) -> list[int]:
        """Tokens of a prompt; at least one."""
        return self._encode(text) or [self.first]

    def pieces(self, instance: Any, row: int) -> tuple[Piece, ...]:
        """Tokens of a request for probabilities: one piece, or windows over a long text.

        Raises:
            DataError: nothing is left to read.
        """
        if instance.request_type == "loglikelihood_rolling":
            found = self._windows(*instance.args)
        else:
            found = [self._pair(*instance.args)]
        if not found or not all(piece.asked for piece in found):
            raise DataError(
                f"{WHERE}: document {row} asks how likely an empty text is; leave it out of the data"
            )
        return tuple(found)

    def _pair(self, context: str, continuation: str) -> Piece:
        if not context:
            asked = self._encode(continuation, special=False)
            if asked[:1] == [self.first]:
                return Piece(tuple(asked[:1]), tuple(asked[1:]))
            return Piece((self.first,), tuple(asked))
        # A word begins with its blank.
        kept = context.rstrip()
        whole = self._encode(context + continuation)
        given = self._encode(kept)
        return Piece(tuple(given) or (self.first,), tuple(whole[len(given) :]))

    def _windows(self, text: str) -> list[Piece]:
        from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

        # A window is read with what it is asked about, so it is one token shorter than the context.
        cut = get_rolling_token_windows(self._encode(text), self.first, self.chat.context - 1, context_len=1)
        return [Piece(tuple(given), tuple(asked)) for given, asked in map(make_disjoint_window, cut)]

    def _encode(self, text: str, special: bool | None = None) -> list[int]:
        """Tokens, with the special ones that the tokenizer adds by itself unless they stand there already."""
        if special is None and text.startswith(self.first_text):
            special = False
        more = {} if special is None else {"add_special_tokens": special}
        return list(self.chat.tokenizer.encode(text, **more))
