"""Bar charts as SVG: a bar for each row, its spread as a mark, rows of one guarantee together. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from tests.benchmarks.bench.rows import GUARANTEES

WIDTH, LEFT, RIGHT, STEP, BAR = 960, 340, 130, 22, 14
COLOURS = ("#2f7a6b", "#b0713a", "#8a8a8a", "#4a63a8")
OURS = "#123f37"


class Bar(NamedTuple):
    """``low`` and ``high`` are the ends of the spread, equal to ``value`` where there is none."""

    label: str
    group: str
    value: float
    low: float
    high: float
    ours: bool = False


def bars(results: Mapping[str, Any], name: str) -> list[Bar]:
    """A figure of all valid rows that have it: of ``figures.MEASURES``, or ``folded_ms``, ``durable_ms`` (p50-p99)."""
    found = []
    for row in results["rows"]:
        own = row["name"].startswith("ours")
        if name in ("folded_ms", "durable_ms"):
            figure = (row["latency"] or {}).get(name)
            spread = (figure["p50"], figure["p50"], figure["p99"]) if figure else None
        else:
            figure = row["figures"].get(name) if row["valid"] else None
            if name == "changelog_bytes_per_event" and row["valid"]:
                figure = figure or row["figures"]["checkpoint_bytes_per_event"]  # files in the place of a changelog
            spread = (figure["median"], figure["min"], figure["max"]) if figure else None
        if spread:
            found.append(Bar(row["title"], row["guarantee"], *spread, own))
    return found


def svg(title: str, given: Sequence[Bar]) -> str:
    """The chart; the axis begins at 0."""
    groups = [(group, [bar for bar in given if bar.group == group]) for group in GUARANTEES]
    groups = [(group, found) for group, found in groups if found]
    height = 56 + STEP * (len(given) + len(groups))
    most = max((bar.high for bar in given), default=0.0) or 1.0
    scale = (WIDTH - LEFT - RIGHT) / most
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="12" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="26" font-size="16" fill="#222222">{escape(title)}</text>',
    ]
    y = 56
    for group, found in groups:
        out.append(f'<text x="16" y="{y}" font-weight="bold" fill="#222222">{escape(group)}</text>')
        y += STEP
        for bar in found:
            out += _bar(bar, y, scale, OURS if bar.ours else COLOURS[GUARANTEES.index(group)])
            y += STEP
    return "\n".join([*out, "</svg>", ""])


def _bar(bar: Bar, y: int, scale: float, colour: str) -> list[str]:
    top, middle = y - BAR + 2, y - BAR / 2 + 2
    low, high = LEFT + bar.low * scale, LEFT + bar.high * scale
    out = [
        f'<text x="{LEFT - 8}" y="{y}" text-anchor="end" fill="#222222">{escape(bar.label)}</text>',
        f'<rect x="{LEFT}" y="{top}" width="{bar.value * scale:.1f}" height="{BAR}" fill="{colour}"/>',
    ]
    if bar.high > bar.low:
        ends = "".join(f"M{x:.1f} {middle - 4}V{middle + 4}" for x in (low, high))
        out.append(f'<path d="M{low:.1f} {middle}H{high:.1f}{ends}" stroke="#000000" fill="none"/>')
    out.append(f'<text x="{high + 8:.1f}" y="{y}" fill="#222222">{_short(bar.value)}</text>')
    return out


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
