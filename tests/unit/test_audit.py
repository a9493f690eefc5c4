"""The audit of dependencies: what is installed here passes it, and each thing that it looks for is found."""

from __future__ import annotations

import json
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from packaging.version import Version

from deploy import cli
from deploy.audit import advisories, installed, licences
from deploy.audit.installed import Asked, Package
from streams.errors import InputError
from tests.tidy.source import ROOT

NUMPY = metadata.version("numpy")


def test_all_that_is_installed_is_as_asked_for_and_may_be_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["audit"]) == 0
    told = capsys.readouterr()
    assert "NOT CHECKED FOR KNOWN VULNERABILITIES" in told.err
    assert "no problem found in what was checked" in told.out


def test_the_page_of_licences_is_the_one_of_the_metadata() -> None:
    packages, missing = installed.needed(installed.asked())
    assert not missing
    assert (ROOT / "deploy" / "LICENCES.md").read_text() == licences.page(packages), "field audit --licences"
    assert {"aiokafka", "venusian", "psycopg-binary", "yarl"} <= {one.name for one in packages}
    assert not {"pytest", "ruff", "the-field"} & {one.name for one in packages}


def test_pins() -> None:
    def of(line: str) -> list[str]:
        return installed.pins(installed._parsed([line]))

    assert of(f"numpy=={NUMPY}") == []
    assert of("numpy==0.1") == [f"numpy {NUMPY} is installed, 0.1 was asked for"]
    assert "has no pin" in of("numpy>=1")[0]
    found, missing = installed.needed(installed._parsed(["no-such-package==1", 'nor-this==1; sys_platform == "win32"']))
    assert (found, missing) == ([], ["no-such-package is not installed, which the field needs"])
    assert list(installed._parsed(["A_b.C[x, Y] (>=1,<2) ; extra == 'z'"])) == [
        Asked("a-b-c", frozenset({"x", "y"}), "", "extra == 'z'")
    ]


class Said(metadata.Distribution):
    """A distribution that says no more than this of its licence."""

    def __init__(self, *lines: str) -> None:
        self._text = "\n".join(("Metadata-Version: 2.1", "Name: some", "Version: 1", *lines)) + "\n"

    def read_text(self, filename: str) -> str | None:
        return self._text if filename == "METADATA" else None

    def locate_file(self, path: Any) -> Any:
        return Path("/nowhere") / path


@pytest.mark.parametrize(
    ("line", "name", "fine"),
    [
        ("License-Expression: MIT", "MIT", True),
        ("License-Expression: Apache-2.0 OR GPL-3.0-only", "Apache-2.0 OR GPL-3.0-only", True),
        ("License-Expression: MIT AND GPL-3.0-only", "MIT AND GPL-3.0-only", False),
        ("License-Expression: AGPL-3.0-or-later", "AGPL-3.0-or-later", False),
        ("License: Apache 2", "Apache-2.0", True),
        ("License: GPLv3", licences.UNKNOWN, False),
        ("License: permitted to nobody", licences.UNKNOWN, False),
        ("Classifier: License :: OSI Approved :: MIT License", "MIT", True),
        ("Classifier: License :: OSI Approved :: GNU General Public License v3 (GPLv3)", licences.UNKNOWN, False),
        ("Summary: says nothing", licences.UNKNOWN, False),
    ],
)
def test_licences(line: str, name: str, fine: bool) -> None:
    assert licences.licence(Said(line)) == name
    assert licences.allowed(name) == fine
    assert bool(licences.refused([Package("some", "1", "", Said(line))])) == (not fine)


def advisory(affected: dict[str, Any], **more: Any) -> dict[str, Any]:
    package = {"package": {"ecosystem": "PyPI", "name": "NumPy"}}
    return {
        "id": "TEST-1",
        "modified": "2026-01-01T00:00:00Z",
        "summary": "bad",
        "affected": [package | affected],
        **more,
    }


def ranged(*events: dict[str, str]) -> dict[str, Any]:
    return {"ranges": [{"type": "ECOSYSTEM", "events": list(events)}]}


@pytest.mark.parametrize(
    ("affected", "hit"),
    [
        ({"versions": [NUMPY]}, True),
        ({"versions": ["0.1"]}, False),
        (ranged({"introduced": "0"}), True),
        (ranged({"introduced": "0"}, {"fixed": NUMPY}), False),
        (ranged({"introduced": "0"}, {"fixed": "99"}), True),
        (ranged({"introduced": "0"}, {"last_affected": NUMPY}), True),
        (ranged({"introduced": "0"}, {"last_affected": "1.0"}), False),
        (ranged({"introduced": "98"}, {"fixed": "99"}), False),
        (ranged({"introduced": "0"}, {"fixed": "1.0"}, {"introduced": "1.5"}, {"fixed": "99"}), True),
        ({"versions": [NUMPY], "package": {"ecosystem": "npm", "name": "numpy"}}, False),
    ],
)
def test_known_vulnerabilities(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], affected: dict[str, Any], hit: bool
) -> None:
    other = advisory({"versions": ["0.1"]}, id="OTHER")
    for number, one in enumerate((advisory(affected), other)):
        (tmp_path / f"{number}.json").write_text(json.dumps(one))
    assert cli.main(["audit", "--advisories", str(tmp_path)]) == int(hit)
    told = capsys.readouterr()
    assert ("TEST-1: bad" in told.out) == hit
    assert "NOT CHECKED" not in told.err


def test_advisories_come_as_a_zip_or_one_file_and_may_be_withdrawn(tmp_path: Path) -> None:
    bad = advisory({"versions": [NUMPY]})
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as packed:
        packed.writestr("TEST-1.json", json.dumps(bad))
    (tmp_path / "list.json").write_text(json.dumps([bad, advisory({}, withdrawn="2026-01-01T00:00:00Z")]))
    here, _ = installed.needed(installed.asked())
    for name in ("all.zip", "list.json"):
        data = advisories.read(tmp_path / name)
        assert [one.advisory for one in advisories.hits(data, here)] == ["TEST-1"]
        assert (len(data.advisories), data.newest) == (1, "2026-01-01T00:00:00Z")


@pytest.mark.parametrize("text", ["", "[]", "{}", '[{"id": "x"}]'])
def test_what_is_no_advisory_data_is_never_taken_for_a_clean_result(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError):
        advisories.read(tmp_path / "a.json")
    with pytest.raises(InputError):
        advisories.read(tmp_path / "missing")


NUMBERS = some.lists(some.integers(0, 12), min_size=1, max_size=4).map(lambda found: ".".join(map(str, found)))
VERSIONS = some.builds(
    str.__add__, NUMBERS, some.sampled_from(["", "", "a1", "b2", "rc1", ".dev3", ".post1", ".post2", "rc2"])
)


@given(one=VERSIONS, other=VERSIONS)
def test_versions_have_the_order_of_their_standard(one: str, other: str) -> None:
    assert (advisories.key(one) < advisories.key(other)) == (Version(one) < Version(other))
