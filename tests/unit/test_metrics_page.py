"""``deploy/METRICS.md`` is what the code says."""

from pathlib import Path

from streams import metrics


def test_the_page_is_the_one_of_the_code() -> None:
    page = metrics.page()
    assert page.count("\n") > 15
    assert page in (Path(metrics.__file__).parent.parent / "deploy" / "METRICS.md").read_text()


def test_no_metric_stands_there_twice() -> None:
    rows = metrics.page().splitlines()
    assert sorted(set(rows)) == sorted(rows)
