"""Near-duplicates among requests.

Two requests are near-duplicates when the Jaccard similarity of their sets of content words reaches a
threshold.  Word sets, not shingles: requests have some ten words, and one changed word already breaks three
of their eight 3-shingles (similarity .45).  Without the commonest function words, and with plain English
endings cut off, what is compared is what is asked about, so that two requests don't match for a shared frame
("what is the difference between ...").  Pairs are found exactly: the sparse word table is multiplied with
itself.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import connected_components

THRESHOLD = 0.6
"""Similarity from which two requests count as the same.  No pair of built-in rows reaches it."""
FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        a about an and any are as at be by can could did do does for from had has have how i if im in into is
        it its me my of on or please should so some that the their them then there these they this those to
        was we were what when where which who why will with would you your
        """,
    )
)
_WORD = re.compile(
    # Scripts that are written without spaces go character by character.
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]|\\w+"
)
_ENDING = re.compile(r"(?<=\w{3})(?:ings?|ed|es|e|s)$")
_CHUNK = 512
Indices = npt.NDArray[np.int64]


def content_words(text: str) -> frozenset[str]:
    """The words that ``text`` is compared by; never empty."""
    plain = unicodedata.normalize("NFKC", text).casefold().replace("'", "").replace("’", "")
    words = set(_WORD.findall(plain))
    words = words - FUNCTION_WORDS or words
    return frozenset(_ENDING.sub("", word) for word in words) or frozenset([plain.strip()])


def groups(texts: Sequence[str], threshold: float = THRESHOLD) -> list[int]:
    """Return a group number per text: near-duplicates, and what they are near-duplicates of, share one.

    Args:
        texts: requests.
        threshold: Jaccard similarity (0 to 1, above 0) from which two are near-duplicates.

    Returns:
        Numbers from 0, in order of first appearance.
    """
    if not texts:
        return []
    has = _table(texts)
    pairs = list(_pairs(has, has, threshold))
    first, second = (np.concatenate(found) for found in zip(*pairs, strict=True))
    links = sparse.csr_array(
        (np.ones(len(first), dtype=bool), (first, second)), shape=(len(texts), len(texts))
    )
    _, labels = connected_components(links, directed=False)
    order: dict[int, int] = {}
    return [order.setdefault(int(label), len(order)) for label in labels]


def near(texts: Sequence[str], others: Sequence[str], threshold: float = THRESHOLD) -> list[bool]:
    """Return for each text whether it is a near-duplicate of one of ``others``.

    Args:
        texts: requests.
        others: requests that they are held against.
        threshold: Jaccard similarity (0 to 1, above 0) from which two are near-duplicates.
    """
    has = _table([*texts, *others])
    found = np.zeros(len(texts), dtype=bool)
    for rows, _ in _pairs(has[: len(texts)], has[len(texts) :], threshold):
        found[rows] = True
    return found.tolist()


def _table(texts: Sequence[str]) -> sparse.csr_array:
    """Which content word (column) stands in which text (row)."""
    words = [content_words(text) for text in texts]
    index = {word: i for i, word in enumerate(dict.fromkeys(w for ws in words for w in sorted(ws)))}
    sizes = [len(ws) for ws in words]
    return sparse.csr_array(
        (
            np.ones(sum(sizes), dtype=np.int32),
            np.array([index[w] for ws in words for w in ws], dtype=np.int64),
            np.cumsum([0, *sizes]),
        ),
        shape=(len(words), len(index)),
    )


def _pairs(
    one: sparse.csr_array, other: sparse.csr_array, threshold: float
) -> Iterator[tuple[Indices, Indices]]:
    """Rows of two tables that are near-duplicates, part by part."""
    sizes, other_sizes = np.diff(one.indptr), np.diff(other.indptr)
    for start in range(0, one.shape[0], _CHUNK):
        shared = (one[start : start + _CHUNK] @ other.T).tocoo()
        union = sizes[shared.row + start] + other_sizes[shared.col] - shared.data
        alike = shared.data >= threshold * union - 1e-9
        yield shared.row[alike] + start, shared.col[alike]
