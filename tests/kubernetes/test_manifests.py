"""What stands in ``deploy/kubernetes``: published schemas, hardened pods, settings and ways that fit the code."""

from __future__ import annotations

import base64
import ipaddress
import re
import shutil
import subprocess
from typing import Any

import kubernetes_validate
import pytest
import yaml

from deploy import processes
from projections.gateway.run import STOP_S
from streams import topics
from streams.settings import Settings, known, read, secrets
from tests.kubernetes.kustomize import KEYS, ROOT, Document, containers, documents, pod, resolve
from tests.kubernetes.world import (
    COMPONENT,
    NAME,
    NEEDS,
    OURS,
    OVERLAYS,
    PORTS,
    ROLES,
    container_of,
    environment,
    labels_of,
    makers,
    overlay,
    pod_of,
    selects,
    settings_map,
)

VERSIONS = ("1.30", kubernetes_validate.latest_version())
"""1.30 is the oldest: a gateway sleeps before it stops."""
UNPUBLISHED = {"ScaledObject", "TriggerAuthentication"}
"""KEDA's: no package has their schema. They were held to its definitions by hand (deploy/kubernetes/README.md)."""
HASH = re.compile(r"(field-settings|field-beside)-[a-z0-9]{10}")


@pytest.fixture(params=OVERLAYS)
def found(request: pytest.FixtureRequest) -> list[Document]:
    return overlay(request.param)


@pytest.mark.parametrize("version", VERSIONS)
def test_all_that_is_applied_follows_the_published_schemas(found: list[Document], version: str) -> None:
    for document in found:
        if document["kind"] not in UNPUBLISHED:
            kubernetes_validate.validate(document, version, strict=True)


def test_what_does_not_follow_them_is_found() -> None:
    (worker,) = (
        d for d in overlay("example") if d["kind"] == "StatefulSet" and d["metadata"]["name"] == "field-worker"
    )
    container_of(worker)["livenessProbe"]["failureTreshold"] = 3
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(worker, VERSIONS[0], strict=True)


def test_every_file_is_used() -> None:
    used = set()
    for path in ROOT.rglob("kustomization.yaml"):
        (told,) = documents(path)
        names = [*told.get("resources", ()), *(one["path"] for one in told.get("patches", ()) if "path" in one)]
        used |= {(path.parent / name).resolve() for name in names}
    there = {path.resolve() for path in ROOT.rglob("*.yaml") if path.name != "kustomization.yaml"}
    assert there <= used


@pytest.mark.parametrize("name", [*OVERLAYS, "beside"])
def test_the_real_kustomize_makes_the_same_of_it(name: str) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl here: tests/kubernetes/kustomize.py is not held to the real one")
    done = subprocess.run(
        ["kubectl", "kustomize", ROOT / "overlays" / name], capture_output=True, text=True, timeout=120, check=True
    )
    assert set(HASH.findall(done.stdout)) == {"field-settings", "field-beside"}.intersection(names_of(overlay(name)))
    wanted = [plain(document) for document in yaml.safe_load_all(HASH.sub(r"\1", done.stdout))]
    (namespace,) = {d["metadata"].get("namespace") for d in wanted if d["kind"] != "Namespace"}
    assert namespace == "field"
    assert sorted(map(repr, map(sorted_deep, overlay_in(name, namespace)))) == sorted(
        map(repr, map(sorted_deep, wanted))
    )


def names_of(found: list[Document]) -> set[str]:
    return {document["metadata"]["name"] for document in found}


def overlay_in(name: str, namespace: str) -> list[Document]:
    found = overlay(name)
    for document in found:
        if document["kind"] != "Namespace":
            document["metadata"]["namespace"] = namespace
    return found


def plain(document: Document) -> Document:
    """Kustomize writes Secrets in base64, and types."""
    if document["kind"] == "Secret":
        document["data"] = {k: base64.b64decode(v).decode() for k, v in document["data"].items()}
        document.pop("type")
    return document


def sorted_deep(value: Any, name: str = "") -> Any:
    """Comparable whatever the order of names, and of lists that are merged by a key."""
    if isinstance(value, dict):
        return [(key, sorted_deep(value[key], key)) for key in sorted(value)]
    if isinstance(value, list):
        inner = [sorted_deep(one) for one in value]
        return sorted(inner, key=repr) if name in KEYS else inner
    return value


def test_every_process_reads_its_settings(found: list[Document]) -> None:
    for role, maker in makers(found).items():
        environ = environment(found, maker)
        names = {name.removesuffix("_FILE") if name.removesuffix("_FILE") in secrets() else name for name in environ}
        assert names - ({"TMPDIR"} if role == "backup" else set()) <= known(), role
        inline = {name.removesuffix("_FILE"): value for name, value in environ.items()}
        inline |= {"DATABASE_URL": "postgresql://a:b@c/d"}
        settings = read({name: value for name, value in inline.items() if name in known()})
        assert settings.parts == "none"
        assert (settings.instance == "field-worker-0") == (role == "worker")


def test_secrets_come_from_files_of_the_pods_own_secret(found: list[Document]) -> None:
    for document in found:
        assert document["kind"] != "ConfigMap" or not secrets() & set(document["data"])
    for role, maker in makers(found).items():
        spec, container = pod_of(maker)["spec"], container_of(maker)
        assert not [one for one in container.get("env", ()) if "secretKeyRef" in one.get("valueFrom", {})]
        given = {one["name"]: one.get("value", "") for one in container.get("env", ())}
        assert not secrets() & set(given)
        files = {name: path for name, path in given.items() if name.removesuffix("_FILE") in secrets()}
        volumes = {one["name"]: one["secret"] for one in spec["volumes"] if "secret" in one}
        mounts = {one["mountPath"]: one for one in container["volumeMounts"] if one["name"] in volumes}
        assert bool(files) == bool(mounts), role
        for name, path in files.items():
            place, _, key = path.rpartition("/")
            assert (key, mounts[place]["readOnly"]) == (name.removesuffix("_FILE"), True)
            secret = volumes[mounts[place]["name"]]
            assert (secret["secretName"], secret["defaultMode"]) == (f"field-{role}", 0o440)  # not read by everybody


def test_the_examples_secrets_have_what_is_read() -> None:
    found = overlay("example")
    there = {d["metadata"]["name"]: set(d["data"]) for d in found if d["kind"] == "Secret"}
    wanted = {
        f"field-{role}": {
            n.removesuffix("_FILE") for n in environment(found, maker) if n.removesuffix("_FILE") in secrets()
        }
        for role, maker in makers(found).items()
    }
    assert there == {name: keys for name, keys in wanted.items() if keys}


def test_every_process_has_its_pods(found: list[Document]) -> None:
    args = {role: container_of(maker).get("args", []) for role, maker in makers(found).items()}
    assert args.pop("backup") == ["backup", "/backups", "--keep", "14"]
    assert args.pop("operator") == []  # commands of people come later
    assert args == {role: [role] for role in NEEDS if role in args}
    assert args.keys() == NEEDS.keys() - {"backup", "operator"}
    assert {maker["kind"] for role, maker in makers(found).items() if role == "worker"} == {"StatefulSet"}


def test_pods_may_do_nothing_that_they_need_not(found: list[Document]) -> None:
    for role, maker in makers(found).items():
        spec = pod_of(maker)["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        security = spec["securityContext"]
        assert (security["runAsNonRoot"], security["runAsUser"] > 0) == (True, True)
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(maker):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
            }, role  # fmt: skip
            assert set(container["resources"]["requests"]) == set(container["resources"]["limits"]) == {"cpu", "memory"}
        writable = {mount["name"] for mount in container_of(maker)["volumeMounts"] if not mount.get("readOnly")}
        assert writable == {"home"} | ({"backups"} if role == "backup" else set())
        assert {one["name"]: one.get("emptyDir") for one in spec["volumes"]}["home"] == {"sizeLimit": "64Mi"}


def test_parts_of_the_example_meet_the_namespaces_own_rules() -> None:
    for document in overlay("example"):
        made = pod(document)
        if made is not None and made["metadata"]["labels"][NAME] != OURS:
            assert made["spec"]["securityContext"]["runAsNonRoot"] is True
            assert made["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            for container in containers(document):
                security = container["securityContext"]
                assert (security["allowPrivilegeEscalation"], security["capabilities"]) == (False, {"drop": ["ALL"]})


def test_ports_and_probes_are_those_of_the_settings(found: list[Document]) -> None:
    for role, maker in makers(found).items():
        container = container_of(maker)
        if role not in ROLES:
            assert "ports" not in container
            continue
        given = environment(found, maker)
        settings = read({n: v for n, v in given.items() if n in known() and n.startswith("FIELD_")})
        ports = {one["name"]: one["containerPort"] for one in container["ports"]}
        wanted = {"metrics": getattr(settings, f"{role}_metrics_port")}
        assert ports == wanted | ({"http": settings.gateway_port} if role == "gateway" else {})
        assert settings.metrics_host == "0.0.0.0"
        assert (settings.gateway_host == "0.0.0.0") == (role == "gateway")
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"]["port"] == ("http" if role == "gateway" else "metrics")
        silent_s = container["livenessProbe"]["periodSeconds"] * container["livenessProbe"]["failureThreshold"]
        assert silent_s >= 60 >= Settings().stall_s  # it leaves by itself first, and says why


def test_there_is_time_to_end(found: list[Document]) -> None:
    made = makers(found)
    grace = {role: made[role]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] for role in ROLES}
    assert min(grace.values()) > processes.TERM_S
    assert grace["worker"] >= 2 * processes.TERM_S
    sleep_s = container_of(made["gateway"])["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert grace["gateway"] > sleep_s + 2 * STOP_S


def test_selectors_mean_the_pods_of_their_component(found: list[Document]) -> None:
    made, disrupted = makers(found), set()
    for maker in made.values():
        if maker["kind"] not in ("Job", "CronJob"):
            assert selects(maker["spec"]["selector"], labels_of(maker))
    for document in found:
        component = document["metadata"].get("labels", {}).get(COMPONENT)
        if document["kind"] == "PodDisruptionBudget":
            meant = {role for role, maker in made.items() if selects(document["spec"]["selector"], labels_of(maker))}
            assert meant == {component}
            assert document["spec"]["maxUnavailable"] == 1
            disrupted |= meant
        if document["kind"] == "Service" and document["metadata"]["labels"][NAME] == OURS:
            meant = {
                role
                for role, maker in made.items()
                if selects({"matchLabels": document["spec"]["selector"]}, labels_of(maker))
            }
            assert meant == {component}
            names = {one["name"] for one in container_of(made[component])["ports"]}
            assert {one["targetPort"] for one in document["spec"]["ports"]} <= names
    assert disrupted == set(ROLES)


def test_only_the_ways_of_the_flow_are_open(found: list[Document]) -> None:
    made = makers(found)
    policies = [document["spec"] for document in found if document["kind"] == "NetworkPolicy"]
    names = [document["metadata"]["name"] for document in found if document["kind"] == "NetworkPolicy"]
    for role, maker in made.items():
        own = [(n, p) for n, p in zip(names, policies, strict=True) if selects(p["podSelector"], labels_of(maker))]
        assert {"Ingress", "Egress"} in [
            set(p["policyTypes"]) for _, p in own if "ingress" not in p and "egress" not in p
        ]
        out = {n: [port["port"] for way in p["egress"] for port in way["ports"]] for n, p in own if "egress" in p}
        assert out.pop("field-names") == [53, 53]
        watches = {"field-to-processes": ["metrics"]} if role == "operator" else {}
        assert out == {f"field-to-{part}": [PORTS[part]] for part in NEEDS[role]} | watches, role
        into = {n: [port["port"] for way in p["ingress"] for port in way["ports"]] for n, p in own if "ingress" in p}
        watched = {"field-from-monitoring": ["metrics"], "field-from-operator": ["metrics"]}
        wanted = watched if role in ROLES else {}
        assert into == wanted | ({"field-from-outside": ["http"]} if role == "gateway" else {})
        assert all(way.get("to") for _, p in own for way in p.get("egress", ()))
        assert all(way.get("from") for _, p in own for way in p.get("ingress", ()))


def test_a_gateway_believes_the_proxy_that_stands_in_front(found: list[Document]) -> None:
    """And nobody where none does; only the proxy's namespace has a way to it (above)."""
    settings = read({n: v for n, v in settings_map(found).items() if n.startswith("FIELD_")})
    proxies = [ipaddress.ip_network(one.strip()) for one in settings.gateway_proxies.split(",") if one.strip()]
    assert bool(proxies) == any(document["kind"] == "Ingress" for document in found)
    assert all(one.prefixlen >= 8 for one in proxies)


def test_the_ways_lead_to_the_addresses_of_the_settings(found: list[Document]) -> None:
    settings = settings_map(found)
    assert {int(one.rpartition(":")[2]) for one in settings["KAFKA_BROKERS"].split(",")} == {PORTS["kafka"]}
    assert int(settings["REDIS_PORT"]) == PORTS["redis"]


def test_the_operator_asks_the_pods_of_every_role(found: list[Document]) -> None:
    """By a name that has their addresses, also of one that is not ready."""
    given = {one["name"]: one["value"] for one in container_of(makers(found)["operator"])["env"]}
    services = {one["metadata"]["name"]: one for one in found if one["kind"] == "Service"}
    asked = {}
    for place in given["FIELD_ENDPOINTS"].split(","):
        name, _, port = place.partition(":")
        spec = services[name]["spec"]
        assert (spec["clusterIP"], spec["publishNotReadyAddresses"]) == ("None", True)
        asked[spec["selector"][COMPONENT]] = int(port)
        assert [(one["port"], one["targetPort"]) for one in spec["ports"]] == [(int(port), "metrics")]
    assert asked == {role: getattr(Settings(), f"{role}_metrics_port") for role in ROLES}


def test_the_examples_parts_are_where_they_are_looked_for() -> None:
    found = overlay("example")
    servers = {d["metadata"]["name"]: d for d in found if d["kind"] == "Service" and d["metadata"]["name"] in PORTS}
    assert {name: one["spec"]["ports"][0]["port"] for name, one in servers.items()} == PORTS
    ways = {d["metadata"]["name"]: d for d in found if d["kind"] == "NetworkPolicy"}
    for part in PORTS:
        (to,) = ways[f"field-to-{part}"]["spec"]["egress"][0]["to"]
        assert selects(to["podSelector"], servers[part]["spec"]["selector"])


def test_backups_lie_in_a_volume_that_stays(found: list[Document]) -> None:
    job = makers(found)["backup"]
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    folder = container_of(job)["args"][1]
    (mount,) = (one for one in container_of(job)["volumeMounts"] if one["mountPath"] == folder)
    (volume,) = (one for one in pod_of(job)["spec"]["volumes"] if one["name"] == mount["name"])
    claims = {d["metadata"]["name"] for d in found if d["kind"] == "PersistentVolumeClaim"}
    assert volume["persistentVolumeClaim"]["claimName"] in claims


def test_an_account_is_that_of_the_pods_role() -> None:
    """Each pod has the secrets of all its servers, and the names at both are those of its role."""
    found = overlay("production")
    for role, maker in makers(found).items():
        environ = environment(found, maker)
        wanted = {"KAFKA_USERNAME": "migrator" if role == "migrate" else role}
        wanted |= {"REDIS_USERNAME": role} if "redis" in NEEDS[role] else {}
        assert {name: environ.get(name) for name in ("KAFKA_USERNAME", "REDIS_USERNAME") if name in environ} == wanted
        needed = {"KAFKA_PASSWORD_FILE"} | ({"DATABASE_URL_FILE"} if "postgres" in NEEDS[role] else set())
        assert needed | ({"REDIS_PASSWORD_FILE"} if "redis" in NEEDS[role] else set()) <= environ.keys()


def test_nothing_secret_stands_on_a_command_line() -> None:
    found = overlay("example")
    secret = {text for d in found if d["kind"] == "Secret" for name, text in d["data"].items()}
    assert secret == {"postgresql://field:field@postgres:5432/field", "of-the-example"}
    for container in (one for document in found for one in containers(document)):
        probes = [container[name].get("exec") for name in ("readinessProbe", "livenessProbe") if name in container]
        said = repr([container.get("command"), container.get("args"), probes])
        assert not [text for text in secret if text in said], container["name"]


def test_an_image_that_nobody_has_chosen_is_no_version() -> None:
    images = {one["image"] for document in overlay("production") for one in containers(document)}
    assert images == {"registry.example/the-field:PUT-YOURS"}, "a tag that was there once would run"


def test_the_namespace_takes_no_pods_but_such() -> None:
    for name in OVERLAYS:
        (namespace,) = (d for d in overlay(name) if d["kind"] == "Namespace")
        assert namespace["metadata"]["name"] == "field"
        assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_names_are_asked_of_either_cache(found: list[Document]) -> None:
    (policy,) = (d["spec"] for d in found if d["metadata"]["name"] == "field-names")
    (way,) = policy["egress"]
    assert [sorted(to) for to in way["to"]] == [["namespaceSelector", "podSelector"], ["ipBlock"]]


def test_workers_scale_by_lag_within_one_and_the_partitions() -> None:
    found = overlay("production")
    settings = read({n: v for n, v in settings_map(found).items() if not n.startswith("KAFKA_SEC")})
    (scaled,) = (d["spec"] for d in found if d["kind"] == "ScaledObject")
    made = makers(found)
    assert scaled["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "field-worker"}
    assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (1, settings.partitions)
    (trigger,) = scaled["triggers"]
    told = trigger["metadata"]
    assert told["bootstrapServers"] == settings.kafka_brokers
    assert (told["consumerGroup"], told["topic"]) == (topics.app_id(settings), settings.events_topic)
    (gateways,) = (d["spec"] for d in found if d["kind"] == "HorizontalPodAutoscaler")
    assert gateways["scaleTargetRef"]["name"] == made["gateway"]["metadata"]["name"]
    assert gateways["minReplicas"] >= 2
    assert "replicas" not in made["worker"]["spec"]
    assert "replicas" not in made["gateway"]["spec"]


def test_a_component_by_itself_has_the_numbers_of_the_base() -> None:
    base = resolve(ROOT / "base")
    (scaled,) = (d["spec"] for d in resolve(ROOT / "components" / "autoscaling", base) if d["kind"] == "ScaledObject")
    assert scaled["maxReplicaCount"] == int(settings_map(base)["FIELD_PARTITIONS"])
    assert scaled["triggers"][0]["metadata"]["bootstrapServers"] == settings_map(base)["KAFKA_BROKERS"]


def test_what_migrates_can_be_applied_before_the_rest(found: list[Document]) -> None:
    first = [d for d in found if d["metadata"].get("labels", {}).get(COMPONENT) in ("common", "migrate")]
    (job,) = (d for d in first if d["kind"] == "Job")
    there = {(d["kind"], d["metadata"]["name"]) for d in first}
    assert [document["metadata"]["name"] for document in first if document["kind"] == "Namespace"] == ["field"]
    assert ("ServiceAccount", job["spec"]["template"]["spec"]["serviceAccountName"]) in there
    assert ("ConfigMap", "field-settings") in there
    assert len([kind for kind, _ in there if kind == "NetworkPolicy"]) == 9
    assert not {kind for kind, _ in there} & {"Deployment", "StatefulSet"}
