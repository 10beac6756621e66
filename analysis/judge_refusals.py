"""How well judges see refusals: five models' answers to XSTest, each labelled by two people and settled.

Truth: full or partial refusal against full compliance (`final_label`); the judge reads the answer alone.

What is left out, and what isn't.  Nothing is fitted by code: `refusal_phrases` is a list of patterns that was written
by hand while reading the answers of the GPT-4 and Mistral families.  Of the Llama-2 family only the agreement and the
counts by rule had been seen before the last changes of version 1; for version 2, which mends what sentences made up
for it showed, the same was seen of all five files.  So the row `not written on` is the nearest there is to a family
left out, though not a blind one, and the pooled row is none.  All files answer the same 450 prompts, so no part has
unseen prompts; the judge reads no prompt, but answers to one prompt share words, which makes the intervals (Wilson;
kappa: see `ftstab.judging.agreement.kappa`; answers taken as independent) of more than one file too narrow.  The list
of the literature (`refusal_phrases_advbench`) was written on none of these files.  How a judge errs on the answers of
one's own study is measured by `ftstab judge label`.

    FTSTAB_PUBLIC_DATA=... python analysis/judge_refusals.py

Printed, with 95 % intervals (`complied seen`: recall of complying answers, `refused seen`: of refusals, U: unscored):

    refusal_phrases@2
                         n   U  accuracy              complied seen         refused seen          kappa
    gpt4               450   0  0.976 [0.957, 0.986]  0.974 [0.944, 0.988]  0.977 [0.948, 0.990]  0.951 [0.913, 0.973]
    llama2orig         450   0  0.924 [0.896, 0.945]  0.762 [0.671, 0.835]  0.971 [0.948, 0.984]  0.772 [0.688, 0.835]
    llama2new          450   0  0.929 [0.901, 0.949]  0.898 [0.844, 0.934]  0.949 [0.916, 0.969]  0.850 [0.791, 0.892]
    mistralinstruct    450   0  0.938 [0.912, 0.957]  0.965 [0.941, 0.980]  0.803 [0.700, 0.877]  0.776 [0.684, 0.845]
    mistralguard       450   0  0.936 [0.909, 0.955]  0.967 [0.933, 0.984]  0.908 [0.865, 0.939]  0.871 [0.818, 0.910]
    GPT-4 family       450   0  0.976 [0.957, 0.986]  0.974 [0.944, 0.988]  0.977 [0.948, 0.990]  0.951 [0.913, 0.973]
    Llama-2 family     900   0  0.927 [0.908, 0.942]  0.848 [0.801, 0.886]  0.961 [0.943, 0.974]  0.825 [0.780, 0.862]
    Mistral family     900   0  0.937 [0.919, 0.951]  0.966 [0.948, 0.978]  0.883 [0.843, 0.914]  0.859 [0.820, 0.891]
    written on        1350   0  0.950 [0.937, 0.960]  0.968 [0.954, 0.978]  0.922 [0.896, 0.942]  0.894 [0.867, 0.917]
    not written on     900   0  0.927 [0.908, 0.942]  0.848 [0.801, 0.886]  0.961 [0.943, 0.974]  0.825 [0.780, 0.862]
    pooled            2250   0  0.940 [0.930, 0.949]  0.938 [0.922, 0.951]  0.943 [0.928, 0.955]  0.881 [0.860, 0.899]

    refusal_phrases_advbench@1
                         n   U  accuracy              complied seen         refused seen          kappa
    gpt4               450   0  0.929 [0.901, 0.949]  0.874 [0.825, 0.911]  0.986 [0.961, 0.995]  0.858 [0.802, 0.898]
    llama2orig         450   0  0.887 [0.854, 0.913]  0.842 [0.758, 0.900]  0.900 [0.864, 0.927]  0.695 [0.610, 0.766]
    llama2new          450   0  0.824 [0.787, 0.857]  0.909 [0.857, 0.943]  0.770 [0.717, 0.816]  0.648 [0.576, 0.713]
    mistralinstruct    450   0  0.807 [0.768, 0.840]  0.930 [0.900, 0.952]  0.197 [0.123, 0.300]  0.157 [0.056, 0.274]
    mistralguard       450   0  0.731 [0.688, 0.770]  0.867 [0.814, 0.906]  0.613 [0.550, 0.672]  0.470 [0.388, 0.543]
    GPT-4 family       450   0  0.929 [0.901, 0.949]  0.874 [0.825, 0.911]  0.986 [0.961, 0.995]  0.858 [0.802, 0.898]
    Llama-2 family     900   0  0.856 [0.831, 0.877]  0.884 [0.841, 0.917]  0.843 [0.812, 0.869]  0.682 [0.629, 0.730]
    Mistral family     900   0  0.769 [0.740, 0.795]  0.908 [0.881, 0.928]  0.513 [0.458, 0.567]  0.453 [0.389, 0.513]
    written on        1350   0  0.822 [0.801, 0.842]  0.898 [0.875, 0.917]  0.707 [0.667, 0.744]  0.620 [0.574, 0.661]
    not written on     900   0  0.856 [0.831, 0.877]  0.884 [0.841, 0.917]  0.843 [0.812, 0.869]  0.682 [0.629, 0.730]
    pooled            2250   0  0.836 [0.820, 0.850]  0.895 [0.875, 0.911]  0.780 [0.755, 0.803]  0.672 [0.640, 0.701]

    the two people, of each other
    pooled            2250   0  0.979 [0.972, 0.984]  0.987 [0.978, 0.992]  0.971 [0.960, 0.979]  0.957 [0.944, 0.968]
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Sequence
from pathlib import Path

from ftstab.evaluation.judges import get_judge, judge_label
from ftstab.judging.agreement import Agreement, Given, agreement, confusion
from ftstab.judging.labelled import LabelledAnswer, measure, read_labelled

FAMILIES = {
    "GPT-4": ("gpt4",),
    "Llama-2": ("llama2orig", "llama2new"),
    "Mistral": ("mistralinstruct", "mistralguard"),
}
"""Files by family of model."""
SEEN = ("gpt4", "mistralinstruct", "mistralguard")
"""Files that the patterns of `refusal_phrases` were written on."""
COLUMNS = {"prompt": "prompt", "response": "completion", "label": "final_label", "category": "type"}
LABELS = {"1_full_compliance": "complied", "2_full_refusal": "refused", "3_partial_refusal": "refused"}


def read(folder: Path) -> dict[str, list[LabelledAnswer]]:
    """The labelled answers of every file, by its name."""
    names = [name for files in FAMILIES.values() for name in files]
    return {
        name: list(read_labelled(folder / f"xstest_completions_{name}.csv", COLUMNS, LABELS).answers)
        for name in names
    }


def parts(files: dict[str, list[LabelledAnswer]]) -> dict[str, list[LabelledAnswer]]:
    """What is reported: every file, every family, and all of it."""
    found = dict(files)
    for family, names in FAMILIES.items():
        found[f"{family} family"] = [a for name in names for a in files[name]]
    found["written on"] = [a for name in SEEN for a in files[name]]
    found["not written on"] = [a for name in files if name not in SEEN for a in files[name]]
    found["pooled"] = [a for answers in files.values() for a in answers]
    return found


def measured(judge: str, labelled: Sequence[LabelledAnswer]) -> Agreement:
    """Agreement of a judge with the settled label."""
    return measure(get_judge(judge), labelled).whole


def people(folder: Path) -> Agreement:
    """Agreement of the two people with each other over all files, in place of judge and truth."""
    first: list[Given] = []
    second: list[bool] = []
    for names in FAMILIES.values():
        for name in names:
            with (folder / f"xstest_completions_{name}.csv").open(newline="") as file:
                for row in csv.DictReader(file):
                    complied = LABELS[row["annotation_1"]] == "complied"
                    first.append("positive" if complied else "negative")
                    second.append(LABELS[row["annotation_2"]] == "complied")
    return agreement(confusion(first, second))


def header() -> str:
    """What stands above the lines."""
    names = ("accuracy", "complied seen", "refused seen", "kappa")
    return (f"{'':<16} {'n':>5} {'U':>3}  " + "  ".join(f"{name:<20}" for name in names)).rstrip()


def line(name: str, found: Agreement) -> str:
    """One line of the table: figures with their 95 % intervals."""
    figures = (found.accuracy, found.recall, found.specificity, found.kappa)
    cells = [f"{f.value:.3f} [{f.low:.3f}, {f.high:.3f}]" for f in figures if f.value is not None]
    return f"{name:<16} {found.confusion.n:>5} {found.confusion.unscored:>3}  " + "  ".join(cells)


def told(doc: str | None) -> argparse.ArgumentParser:
    """A parser whose help is the head of a script, with the option `--data`."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("FTSTAB_PUBLIC_DATA"))
    return parser


def labelled_folder(parser: argparse.ArgumentParser, args: argparse.Namespace) -> Path:
    """The folder of the labelled answers; the script ends where none was named."""
    if args.data is None:
        parser.error(
            "--data: not given, and FTSTAB_PUBLIC_DATA isn't set; name the folder of the public data sets"
        )
    return Path(args.data) / "judge"


def main() -> None:
    """Measure and print."""
    parser = told(__doc__)
    parser.add_argument("judges", nargs="*", default=["refusal_phrases", "refusal_phrases_advbench"])
    args = parser.parse_args()
    folder = labelled_folder(parser, args)
    found = parts(read(folder))
    for judge in args.judges:
        print(f"{judge_label(get_judge(judge))}\n{header()}")
        for name, labelled in found.items():
            print(line(name, measured(judge, labelled)))
        print()
    print("the two people, of each other")
    print(line("pooled", people(folder)))


if __name__ == "__main__":
    from ftstab.cli.command_line import plain_errors

    with plain_errors():
        main()
