"""The files that containers are made of say the same as the program: settings, ports, folders, versions."""

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml

from threadd import config, health_command

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
SETTINGS = {setting.variable: setting for setting in config.SETTINGS}


def instructions(name):
    return re.findall(rf"^{name} +(.+)$", DOCKERFILE, re.MULTILINE)


def image_environment():
    pairs = [pair.partition("=") for line in instructions("ENV") for pair in shlex.split(line)]
    return {name: value for name, _, value in pairs if name.startswith("THREADD_")}


def exposed():
    return {int(port) for line in instructions("EXPOSE") for port in line.split()}


@pytest.fixture
def compose():
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def test_the_image_sets_what_the_program_reads():
    settings = config.load({}, image_environment())
    published = (settings.hub_api, settings.hub_web, settings.gateway, settings.console)
    assert {endpoint.host for endpoint in published} == {"0.0.0.0"}
    peers = int(settings.host_addr.text.rpartition("/")[2])
    assert {endpoint.port for endpoint in published} | {peers} == exposed() == {3006, 3007, 8006, 8007, 4006}
    assert settings.threads_api.is_loopback
    assert settings.threads_web.is_loopback
    # What a container announces by itself must hold outside of it.
    assert [address.text for address in settings.announce] == ["/ip4/127.0.0.1/tcp/4006"]
    [volume] = instructions("VOLUME")
    assert volume == str(settings.repo)


def test_the_image_is_healthy_when_the_daemon_is_ready_and_not_root():
    [check] = instructions("HEALTHCHECK")
    options, _, command = check.partition("CMD ")
    assert json.loads(command) == ["threadd", "health"]
    [seconds] = re.findall(r"--timeout=(\d+)s", options)
    assert int(seconds) > health_command.SECONDS
    assert instructions("USER") == ["threadd"]
    assert len(instructions("FROM")) == 2


def test_the_image_holds_all_packages_and_nothing_else():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    copied = {word for line in instructions("COPY") if not line.startswith("--") for word in line.split()[:-1]}
    assert copied == packages | {"pyproject.toml", "uv.lock", "README.md"}
    # The context is empty but for what is let in.
    first, *let_in = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("**")]
    assert first == "*"
    assert {line.removeprefix("!") for line in let_in} == copied
    [version] = re.findall(r"uv==([\d.]+)", DOCKERFILE)
    assert f"UV_VERSION := {version}\n" in (ROOT / "Makefile").read_text()


def test_compose_starts_the_image_as_it_is(compose):
    daemon = compose["services"]["threadd"]
    ports = {int(port.rpartition(":")[2]) for port in daemon["ports"]}
    assert ports == exposed()
    defaults = {
        name: re.fullmatch(r"\$\{(\w+):-(.+)\}", value).groups() for name, value in daemon["environment"].items()
    }
    assert all(name == variable for name, (variable, _) in defaults.items())
    settings = config.load({}, image_environment() | {name: default for name, (_, default) in defaults.items()})
    assert [address.text for address in settings.announce] == ["/ip4/127.0.0.1/tcp/4006"]
    assert not settings.operator_token
    assert daemon["volumes"] == [f"data:{settings.repo}"]
    assert set(compose["volumes"]) == {"data", "metrics"}


def test_compose_with_a_prometheus_reads_the_metrics(compose):
    prometheus = compose["services"]["prometheus"]
    assert prometheus["profiles"] == ["metrics"]
    assert prometheus["depends_on"] == {"threadd": {"condition": "service_healthy"}}
    [given] = prometheus["configs"]
    assert f"--config.file={given['target']}" in prometheus["command"]
    [job] = yaml.safe_load(compose["configs"][given["source"]]["content"])["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["threadd:8007"]}]
    assert job["authorization"]["credentials"].startswith("${THREADD_OPERATOR_TOKEN")
