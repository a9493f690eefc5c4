"""The compose files: what would only show on a machine with an engine, as far as the files alone can tell it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.local import compose, kafka
from deploy.nginx import render
from deploy.replay import runs
from streams.settings import Settings, known, read

FOLDER = compose.FILE.parent
FILES = {path.name: yaml.safe_load(path.read_text()) for path in (compose.FILE, FOLDER / "compose.production.yaml")}
PRODUCTION = FILES["compose.production.yaml"]
OURS = "the-field"
ENDS = {"lock", "migrate", "backup", "restore", "operator"}
"""Services that do something and end: their exit code is their health."""
WRITABLE = {"postgres": "its image's start writes into several folders of its own"}
USERS = {"prometheus": "65534:65534"}
"""Whose its image's volume is; all others are the one user whose the files of the machine are."""
READ_BY_ITS_FILES = {"alertmanager": {"field_pager_key"}, "grafana": {"postgres-viewer"}}
"""Secrets that are named in a mounted configuration, not in the environment."""
SECRET = re.compile(r"(PASSWORD|SECRET|_KEY|DATABASE_URL|TOKEN)$")
PATCH = re.compile(r"^[^:$]+:(pg|v)?\d+\.\d+(\.\d+)?[0-9a-z.-]*$")


def services() -> list[Any]:
    return [
        pytest.param(found, name, one, id=f"{file}-{name}")
        for file, found in FILES.items() for name, one in found["services"].items()
    ]  # fmt: skip


def of_production() -> list[Any]:
    return [pytest.param(name, one, id=name) for name, one in PRODUCTION["services"].items()]


def ours(service: dict[str, Any]) -> bool:
    return OURS in service["image"]


def environment(service: dict[str, Any]) -> dict[str, str]:
    return service.get("environment", {})


def filled(value: object) -> str:
    """With the defaults of the variables in it."""
    return re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", str(value))


@pytest.mark.parametrize(("found", "name", "service"), services())
def test_every_service_says_how_it_is_and_of_which_version(
    found: dict[str, Any], name: str, service: dict[str, Any]
) -> None:
    assert {"cpus", "memory", "pids"} == service["deploy"]["resources"]["limits"].keys()
    if name in ENDS:
        assert service["restart"] == "no"
        assert "healthcheck" not in service
    else:
        assert service["restart"] == "unless-stopped"
        assert {"test", "interval", "timeout", "retries"} <= service["healthcheck"].keys()
    named = {str(volume).partition(":")[0] for volume in service.get("volumes", [])}
    assert {volume for volume in named if re.fullmatch(r"[a-z0-9-]+", volume)} <= found["volumes"].keys()


@pytest.mark.parametrize(("found", "name", "service"), services())
def test_settings_are_settings_and_those_of_whom_it_waits_for_are_there(
    found: dict[str, Any], name: str, service: dict[str, Any]
) -> None:
    if ours(service):
        files = {f"{setting}_FILE" for setting in known() if SECRET.search(setting)}
        assert environment(service).keys() <= known() | files
    for other, wanted in service.get("depends_on", {}).items():
        ends = wanted["condition"] == "service_completed_successfully"
        assert ends == (other in ENDS)
        assert other in found["services"]


def test_everybody_runs_the_same_images_each_to_the_patch() -> None:
    named = {*compose.IMAGES.values(), *compose.FRONT_IMAGES.values(), *compose.MONITORING_IMAGES.values()}
    assert all(PATCH.fullmatch(image) for image in named)
    for path in [*FOLDER.glob("compose*.yaml"), *(FOLDER / "kubernetes").rglob("*.yaml")]:
        images = set(re.findall(r"^\s*(?:- )?image: (\S+)$", path.read_text(), re.MULTILINE))
        assert {image for image in images if OURS not in image} <= named, path.name
    line = compose.IMAGES["kafka"].partition(":")[2].rpartition(".")[0]
    assert line == kafka.VERSION.rpartition(".")[0], "what the tests run on"


@pytest.mark.parametrize("file", FILES)
def test_no_process_begins_before_topics_and_schema_are_there(file: str) -> None:
    found = FILES[file]["services"]
    roles = [name for name in found if name.partition("-")[0] in ("worker", "projector", "publisher", "gateway")]
    assert len(roles) >= 4
    for role in roles:
        assert found[role]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


@pytest.mark.parametrize(("name", "service"), of_production())
def test_production_bounds_everything(name: str, service: dict[str, Any]) -> None:
    assert {"max-size", "max-file"} <= service["logging"]["options"].keys()
    assert service["ulimits"]["nofile"]["hard"] >= 65_536
    assert name in ENDS or "stop_grace_period" in service or name == "redis"
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"] == USERS.get(name, "1000:1000")
    assert service.get("read_only", False) != (name in WRITABLE)
    ports = service.get("ports", [])
    assert name == "nginx" or all(port.startswith("127.0.0.1:") for port in ports), (
        "nothing else is reached from outside"
    )
    assert bool(ports) == (name in ("nginx", "prometheus", "alertmanager", "grafana"))
    assert "network_mode" not in service


@pytest.mark.parametrize(("name", "service"), of_production())
def test_production_has_secrets_in_files_only(name: str, service: dict[str, Any]) -> None:
    for setting, value in environment(service).items():
        assert not SECRET.search(setting) or value.startswith("/run/secrets/"), f"{setting} is given as text"
        if setting.endswith("_FILE") and str(value).startswith("/run/secrets/"):
            assert value.rpartition("/")[2] in service["secrets"]
    mentioned = {value.rpartition("/")[2] for value in environment(service).values() if "/run/secrets/" in str(value)}
    files = [FOLDER / filled(source) for source, _ in mounts(service) if filled(source).endswith((".yml", ".yaml"))]
    named = set(re.findall(r"/run/secrets/([\w-]+)", "".join(file.read_text() for file in files)))
    assert named == READ_BY_ITS_FILES.get(name, set())
    mentioned |= named
    assert mentioned == set(service.get("secrets", []))
    assert mentioned <= PRODUCTION["secrets"].keys()


@pytest.mark.parametrize(("name", "service"), of_production())
def test_production_mounts_what_is_there_and_cannot_change_it(name: str, service: dict[str, Any]) -> None:
    for source, mode in mounts(service):
        if source.startswith("./"):
            assert (FOLDER / source).exists(), source
        assert mode == "ro" or source.startswith(("${FIELD_BACKUPS", "${FIELD_OPERATOR"))


def mounts(service: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(source, mode) of the folders and files of the machine."""
    for volume in service.get("volumes", []):
        matched = re.fullmatch(r"(\$\{[^}]+\}[^:]*|[^:]+):([^:]+)(?::(ro))?", volume)
        assert matched, volume
        if matched[1].startswith((".", "$")):
            yield matched[1], matched[3] or "rw"


@pytest.mark.parametrize(("found", "name", "service"), services())
def test_each_of_our_processes_can_read_what_it_is_given(
    found: dict[str, Any], name: str, service: dict[str, Any]
) -> None:
    if not ours(service):
        return
    given = {}
    for setting, value in environment(service).items():
        text = filled(value)
        if setting.endswith("_FILE") and text.startswith("/run/secrets/"):
            setting, text = setting.removesuffix("_FILE"), "text"
        given[setting] = "postgresql://a:b@postgres:5432/field" if text == "text" and "URL" in setting else text
    assert read(given)


def test_every_secret_is_somebodys() -> None:
    used = {name for service in PRODUCTION["services"].values() for name in service.get("secrets", [])}
    assert used == PRODUCTION["secrets"].keys()


def test_topics_have_a_copy_on_every_broker() -> None:
    brokers = [name for name in PRODUCTION["services"] if name.startswith("kafka-")]
    shared = environment(PRODUCTION["services"]["worker-1"])
    assert int(shared["FIELD_REPLICATION"]) == len(brokers) == 3
    assert [where.partition(":")[0] for where in shared["KAFKA_BROKERS"].split(",")] == brokers
    numbers = {environment(PRODUCTION["services"][name])["NODE"] for name in brokers}
    assert {f"kafka-{number}" for number in numbers} == set(brokers)
    script = (FOLDER / "production" / "kafka.sh").read_text()
    assert all(f"{number}@kafka-{number}:9094" in script for number in numbers)


def test_nginx_knows_the_gateways_and_they_know_it() -> None:
    found = PRODUCTION["services"]
    given = environment(found["nginx"])
    text = render.render(given)
    gateways = [name for name in found if name.startswith("gateway-")]
    assert len(gateways) > 1
    addresses = [found[name]["networks"]["front"]["ipv4_address"] for name in gateways]
    assert re.findall(r"server ([0-9.]+):8000 ", text) == addresses
    for name in gateways:
        assert environment(found[name])["FIELD_GATEWAY_PROXIES"] == found["nginx"]["networks"]["front"]["ipv4_address"]
    limit = Settings().gateway_body_bytes_max
    assert int(given["FRONT_BODY_BYTES"]) == limit == int(render.DEFAULTS["FRONT_BODY_BYTES"])
    used = set(re.findall(r"\$\{(FRONT_[A-Z_]+)\}", Path(render.TEMPLATE).read_text()))
    assert used == {*render.DEFAULTS, *render.NEEDED} == {name for name in given if name.startswith("FRONT_")}


def test_the_papers_say_which_versions_are_shipped() -> None:
    page = " ".join((FOLDER / "README.md").read_text().split())
    images = {**compose.MONITORING_IMAGES, **compose.FRONT_IMAGES, "redis": compose.IMAGES["redis"]}
    for name in ("prometheus", "alertmanager", "nginx", "redis"):
        version = re.findall(r":v?([0-9.]+)", images[name])[0]
        word = {"redis": "ship"}.get(name, name)
        assert re.search(rf"\b{word} {re.escape(version)}\b", page, re.IGNORECASE), f"{name} {version}"


def test_http_2_is_asked_for_as_the_image_knows_it() -> None:
    """1.25.1 has made a directive of it, and warns of the word beside the address, which is all that Debian's knows."""
    service = PRODUCTION["services"]["nginx"]
    text = render.render(environment(service))
    version = tuple(map(int, re.findall(r"\d+", service["image"])[:3]))
    assert version >= (1, 25, 1)
    assert re.findall(r"listen 8443 (.*)", text) == ["ssl; http2 on;"]
    needed = dict.fromkeys(render.NEEDED, "x")
    assert re.findall(r"listen 443 (.*)", render.render(needed)) == ["ssl http2;"]


def test_what_nginx_needs_is_named_where_it_is_missing() -> None:
    with pytest.raises(render.InputError, match="FRONT_CERTIFICATE, FRONT_CERTIFICATE_KEY not set"):
        render.render({"FRONT_GATEWAYS": "server a:1;"})


def test_each_worker_keeps_its_name_and_is_back_before_its_partitions_go() -> None:
    workers = {name: one for name, one in PRODUCTION["services"].items() if name.startswith("worker-")}
    lasting = {name: one for name, one in workers.items() if "profiles" not in one}
    assert len(lasting) > 1
    for name, one in workers.items():
        assert environment(one).get("FIELD_INSTANCE") == (name if name in lasting else None)
        assert int(environment(one)["FIELD_SESSION_TIMEOUT_S"]) > 10
        assert "replicas" not in one["deploy"]


@pytest.mark.parametrize("role", ["worker", "projector", "publisher"])
def test_a_generation_beside_is_the_same_but_for_its_name_and_image(role: str) -> None:
    found = PRODUCTION["services"]
    beside, now = found[f"{role}-beside"], found.get(role) or found[f"{role}-1"]
    ours = {"FIELD_GENERATION", "FIELD_CHANGES_TOPIC", "FIELD_INSTANCE", "FIELD_DISKS"}
    for same in ("command", "secrets", "networks", "healthcheck", "deploy", "depends_on"):
        assert beside[same] == now[same]
    kept = [{name: value for name, value in environment(one).items() if name not in ours} for one in (beside, now)]
    assert kept[0] == kept[1]
    assert beside["image"] != now["image"]
    assert beside["profiles"] == ["beside"]
    default = {name: filled(environment(now)[name]) for name in ("FIELD_GENERATION", "FIELD_CHANGES_TOPIC")}
    assert default == {"FIELD_GENERATION": Settings().generation, "FIELD_CHANGES_TOPIC": Settings().changes_topic}
    name = filled(environment(beside)["FIELD_GENERATION"])
    assert filled(environment(beside)["FIELD_CHANGES_TOPIC"]) == runs.new(Settings(), name).changes_topic


def test_a_volume_that_holds_nothing_tells_how_full_the_disk_of_all_is() -> None:
    watching = {name for name, one in PRODUCTION["services"].items() if "FIELD_DISKS" in environment(one)}
    assert watching == {"publisher", "operator"}
    for name, one in PRODUCTION["services"].items():
        mounted = [volume.split(":") for volume in one.get("volumes", []) if volume.startswith("watched:")]
        wanted = [["watched", environment(one)["FIELD_DISKS"], "ro"]] if name in watching else []
        assert mounted == wanted


def test_the_operator_looks_at_the_folder_of_the_backups() -> None:
    backup, operator = (PRODUCTION["services"][name] for name in ("backup", "operator"))
    (host,) = (one.rpartition(":")[0] for one in backup["volumes"] if one.endswith(f":{backup['command'][1]}"))
    assert f"{host}:{environment(operator)['FIELD_BACKUPS']}:ro" in operator["volumes"]


def test_the_papers_say_how_large_it_is() -> None:
    lasting = [one for name, one in PRODUCTION["services"].items() if "profiles" not in one and name not in ENDS]
    limits = [one["deploy"]["resources"]["limits"] for one in lasting]
    units = {"m": 1, "g": 1_024}
    megabytes = sum(int(size[:-1]) * units[size[-1]] for size in (filled(one["memory"]) for one in limits))
    cores = sum(float(one["cpus"]) for one in limits)
    said = f"limits add up to {megabytes / 1_024:.1f} GB of memory and {cores:.0f} cores"
    assert said in " ".join((FOLDER / "README.md").read_text().split())


def test_prometheus_looks_at_every_process_by_the_names_of_the_rules() -> None:
    found = PRODUCTION["services"]
    groups = json.loads((FOLDER / "production" / "prometheus" / "targets.json").read_text())
    usual = json.loads((FOLDER / "prometheus" / "targets.json").read_text())
    assert [group["labels"] for group in groups] == [group["labels"] for group in usual]
    ports = {group["labels"]["job"]: group["targets"][0].rpartition(":")[2] for group in usual}
    for group in groups:
        job = group["labels"]["job"]
        assert {target.rpartition(":")[2] for target in group["targets"]} == {ports[job]}
        hosts = [target.rpartition(":")[0] for target in group["targets"]]
        role = job.removeprefix("field-")
        lasting = [name for name, one in found.items() if "profiles" not in one and name.partition("-")[0] == role]
        assert hosts == (lasting if role != "prometheus" else ["127.0.0.1"])
        assert all({*found[name]["networks"]} & {*found["prometheus"]["networks"]} for name in lasting)
    ours = [target for group in groups if group["labels"]["job"].startswith("field-") for target in group["targets"]]
    assert found["operator"]["environment"]["FIELD_ENDPOINTS"] == ",".join(ours)
    told = json.loads((FOLDER / "production" / "prometheus" / "alertmanagers.json").read_text())
    assert told == [{"targets": groups[-1]["targets"]}]


def test_grafana_asks_the_servers_that_there_are() -> None:
    found = PRODUCTION["services"]
    kinds = ("production/datasources.yaml", "grafana/provisioning/datasources/field.yaml")
    ours, usual = (yaml.safe_load((FOLDER / file).read_text())["datasources"] for file in kinds)
    assert [(one["uid"], one["type"]) for one in ours] == [(one["uid"], one["type"]) for one in usual]
    for one in ours:
        name = one["url"].removeprefix("http://").partition(":")[0]
        assert {*found[name]["networks"]} & {*found["grafana"]["networks"]}
    mounted = [volume.split(":")[-2] for volume in found["grafana"]["volumes"]]
    assert ours[1]["jsonData"]["sslRootCertFile"] in mounted


@pytest.mark.parametrize("file", FILES)
def test_grafana_keeps_the_folders_of_provisioning_that_its_image_has(file: str) -> None:
    place = "/etc/grafana/provisioning"
    mounted = [volume.split(":")[-2] for volume in FILES[file]["services"]["grafana"]["volumes"]]
    assert place not in mounted
    for kind in ("datasources", "dashboards"):
        assert any(path.removeprefix(f"{place}/").split("/")[0] == kind for path in mounted)


def test_alertmanager_runs_as_who_may_read_the_key(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("of a pager")
    key.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(key, 1234, 1235)
    owner = key.stat()
    given = compose.environment(replace(Settings(), pager_key_file=str(key)))
    assert given["FIELD_PAGER_USER"] == f"{owner.st_uid}:{owner.st_gid}"
    for none in ("", str(tmp_path / "away")):  # Docker's other services start all the same
        assert compose.environment(replace(Settings(), pager_key_file=none))["FIELD_PAGER_USER"] == "65534:65534"
    assert FILES["compose.yaml"]["services"]["alertmanager"]["user"].startswith("${FIELD_PAGER_USER:-")
    test = PRODUCTION["services"]["alertmanager"]["healthcheck"]["test"][1]
    assert "/run/secrets/field_pager_key" in test
