"""``deploy/METRICS.md`` is what the code says."""

import re
from pathlib import Path

from projections import hot, raw, samples, state
from streams import metrics


def test_the_page_is_the_one_of_the_code() -> None:
    page = metrics.page()
    assert page.count("\n") > 15
    assert page in (Path(metrics.__file__).parent.parent / "deploy" / "METRICS.md").read_text()


def test_no_metric_stands_there_twice() -> None:
    rows = metrics.page().splitlines()
    assert sorted(set(rows)) == sorted(rows)


def test_every_label_is_explained() -> None:
    told, values = metrics.page().split("| label | values |")
    assert "| `field_gateway_requests_total` | counter | `route`, `status` |" in told
    named = set(re.findall(r"`(\w+)`", "".join(row.split("|")[3] for row in told.splitlines()[2:] if row)))
    assert {"reason", "projection", "partition", "status_class", "seen"} <= named
    assert named == set(re.findall(r"^\| `(\w+)`", values, re.MULTILINE))


def test_the_names_of_projections_are_the_ones_on_the_page() -> None:
    names = ", ".join(f"`{one.NAME}`" for one in (raw, state, samples, hot))
    assert f"| `projection` | {names} |" in metrics.page()
