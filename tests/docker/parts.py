"""What the tests of docker/ read: the files, and the Compose file with its variables filled in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
SECRETS = {"POSTGRES_PASSWORD", "RAY_AUTH_TOKEN"}
HANDED_ON = {"HF_TOKEN", "OPENAI_API_KEY"}
"""Secrets that a study may do without."""
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def env_example() -> dict[str, str]:
    """The settings of docker/.env.example, those commented out included."""
    lines = (DOCKER / ".env.example").read_text().splitlines()
    return dict(m.groups() for line in lines if (m := re.fullmatch(r"#?([A-Z_]+)=(.*)", line)))


def raw_compose() -> dict[str, Any]:
    """compose.yaml as it stands, anchors merged, variables not filled in."""
    return yaml.safe_load((DOCKER / "compose.yaml").read_text())


def services() -> dict[str, Any]:
    """The services of compose.yaml with the defaults of its variables, and secrets as their names."""

    def fill(match: re.Match[str]) -> str:
        return match[3] if match[2] == "-" else match[1]

    text = VARIABLE.sub(fill, (DOCKER / "compose.yaml").read_text()).replace("$$", "$")
    return yaml.safe_load(text)["services"]


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions in order, continued lines joined."""
    text = (DOCKER / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [(name, rest.strip()) for name, rest in (line.split(maxsplit=1) for line in whole)]
