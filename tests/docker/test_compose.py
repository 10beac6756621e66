"""compose.yaml: Compose accepts it, the real commands accept its arguments, and it gives nothing away."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docker.parts import DOCKER, HANDED_ON, SECRETS, VARIABLE, env_example, raw_compose, services


@pytest.fixture(scope="session")
def compose() -> list[str]:
    """The command that starts Compose (its schema and its own checks are inside it)."""
    beside = Path(sys.executable).with_name("docker-compose")
    candidates = [[str(beside)], ["docker", "compose"], ["docker-compose"]]
    for command in candidates:
        if not shutil.which(command[0]):
            continue
        answer = subprocess.run([*command, "version", "--short"], capture_output=True, text=True, check=False)
        version = re.match(r"v?(\d+)\.(\d+)", answer.stdout)
        if answer.returncode == 0 and version and tuple(map(int, version.groups())) >= (2, 30):
            return command
    pytest.skip("Compose 2.30 or newer absent: neither `docker compose` nor a `docker-compose` command")


def config(compose: list[str], env_file: Path, *files: Path) -> subprocess.CompletedProcess[str]:
    named = [word for file in files for word in ("-f", str(file))]
    command = [*compose, "--env-file", str(env_file), *named, "--profile", "study", "config", "-q"]
    # Compose would take a variable of the caller before the one in the file.
    env = {k: v for k, v in os.environ.items() if k not in env_example()}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


@pytest.fixture
def filled_in(tmp_path: Path) -> Path:
    path = tmp_path / "env"
    path.write_text("".join(f"{k}={v or 'x' * 32}\n" for k, v in env_example().items() if v or k in SECRETS))
    return path


@pytest.mark.parametrize("files", [["compose.yaml"], ["compose.yaml", "compose.cuda.yaml"]])
def test_compose_accepts_the_files(compose, filled_in, files):
    done = config(compose, filled_in, *(DOCKER / f for f in files))
    assert done.returncode == 0, done.stderr
    assert not done.stderr, "Compose warns"


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("healthcheck:", "healthchek:"),
        ("service_healthy", "service_well"),
        ("- studies:/srv/ftstab", "- stdies:/srv/ftstab"),
    ],
)
def test_compose_refuses_a_faulty_copy(compose, filled_in, tmp_path, right, wrong):
    text = (DOCKER / "compose.yaml").read_text()
    assert right in text
    faulty = tmp_path / "compose.yaml"
    faulty.write_text(text.replace(right, wrong))
    assert config(compose, filled_in, faulty).returncode != 0


def test_compose_refuses_to_start_without_the_secrets(compose):
    done = config(compose, DOCKER / ".env.example", DOCKER / "compose.yaml")
    assert done.returncode != 0
    assert all(f"{name} is missing" in done.stderr for name in SECRETS)


@pytest.mark.parametrize("service", ["ray-head", "ray-worker"])
def test_ray_accepts_the_command(service):
    from ray.scripts.scripts import start

    part = services()[service]
    assert part["entrypoint"] == ["ray", "start"]
    given = start.make_context("ray start", list(part["command"])).params
    assert given["block"]
    assert given["head"] == (service == "ray-head")


def test_ray_accepts_the_health_check_and_the_study_node():
    from ray.scripts.scripts import healthcheck, start

    head, study = services()["ray-head"], services()["study"]
    cmd, ray, command, *args = head["healthcheck"]["test"]
    assert (cmd, ray, command) == ("CMD", "ray", "health-check")
    port = start.make_context("ray start", list(head["command"])).params["port"]
    assert healthcheck.make_context(command, args).params["address"] == f"127.0.0.1:{port}"

    joining = re.fullmatch(r'ray start (.*) && exec ftstab "\$@"', study["entrypoint"][2])
    given = start.make_context("ray start", joining[1].split()).params
    assert (given["num_cpus"], given["num_gpus"], given["block"]) == (0, 0, False)
    assert study["environment"]["RAY_ADDRESS"] == f"ray-head:{port}"


def test_ray_object_store_fits_the_shared_memory():
    for name in ("ray-head", "ray-worker", "study"):
        part = services()[name]
        words = " ".join([*part["entrypoint"], *part["command"]])
        assert int(re.search(r"--object-store-memory=(\d+)", words)[1]) < 1024**3
        assert part["shm_size"] == "1gb"


@pytest.mark.filterwarnings("ignore")  # importing the server warns several times, for reasons of its own
def test_mlflow_accepts_the_command():
    from mlflow.cli import server

    part = services()["mlflow"]
    assert part["entrypoint"] == ["mlflow", "server"]
    given = server.make_context("mlflow server", list(part["command"])).params
    assert given["artifacts_destination"] in {v.split(":")[1] for v in part["volumes"]}
    assert part["environment"]["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    host_and_port = services()["study"]["environment"]["MLFLOW_TRACKING_URI"].removeprefix("http://")
    assert host_and_port in given["allowed_hosts"].split(",")
    assert host_and_port == f"mlflow:{given['port']}"


def test_ftstab_accepts_the_study_command():
    command, study = services()["study"]["command"]
    done = subprocess.run(
        [sys.executable, "-m", "ftstab", command, "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    from ftstab.spec.load import load_study

    assert load_study(DOCKER.parent / study).tracking.mlflow is None, "the server's address must win"


def test_published_ports_are_on_loopback():
    published = [port for part in services().values() for port in part.get("ports", [])]
    assert len(published) == 2
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in published)


def test_secrets_come_from_the_environment_file_and_reach_no_command_line():
    raw = raw_compose()["services"]
    for name, part in raw.items():
        for key, value in part.get("environment", {}).items():
            if re.search("PASSWORD|TOKEN|SECRET|KEY", key):
                assert value is None or ((m := VARIABLE.fullmatch(value)) and m[2] == "?"), f"{name}: {key}"
        rest = str({k: v for k, v in part.items() if k != "environment"})
        assert not any(secret in rest for secret in SECRETS), name
    text = (DOCKER / "compose.yaml").read_text()
    assert not re.search(r"://[^/@\s]*:[^/@\s]*@", text), "a password inside a URL"
    assert all(env_example()[name] == "" for name in SECRETS)
    assert "POSTGRES_PASSWORD" not in str(raw["ray-worker"])


def test_the_filled_in_environment_file_stays_out_of_git():
    assert ".env" in (DOCKER / ".gitignore").read_text().splitlines()


def test_every_variable_is_in_the_example_with_the_same_default():
    text = (DOCKER / "compose.yaml").read_text()
    used = {m[1]: m[3] for m in VARIABLE.finditer(text) if m[2] == "-"}
    asked = {m[1] for m in VARIABLE.finditer(text) if m[2] == "?"}
    example = env_example()
    assert asked == SECRETS
    assert {k: v for k, v in example.items() if k not in SECRETS | HANDED_ON} == used


def test_study_and_workers_read_the_same_data_with_the_same_keys():
    for name in ("ray-worker", "study"):
        part = services()[name]
        assert set(part["environment"]) >= HANDED_ON
        assert f"../sweeps:{part['environment']['FTSTAB_PUBLIC_DATA']}:ro" in part["volumes"]


def test_optuna_and_mlflow_use_separate_databases_of_one_server():
    from sqlalchemy.engine import make_url

    backend = next(a for a in services()["mlflow"]["command"] if a.startswith("--backend-store-uri="))
    mlflow = make_url(backend.partition("=")[2])
    optuna = make_url(services()["study"]["environment"]["FTSTAB_OPTUNA_URL"])
    assert mlflow.host == optuna.host == "postgres"
    assert mlflow.username == optuna.username == services()["postgres"]["environment"]["POSTGRES_USER"]
    assert mlflow.database == services()["postgres"]["environment"]["POSTGRES_DB"]
    assert raw_compose()["configs"]["optuna-database"]["content"] == f"CREATE DATABASE {optuna.database};"
    assert mlflow.database != optuna.database
