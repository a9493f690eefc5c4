"""The report of a soak: figures of every round, readiness and stalls over all, the memory curve."""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.faults.measures import percentile
from tests.faults.steady import RATE, Steady

READY_S = 30.0
STALL_S = 60.0
CURVE_LINES = 24


@dataclass
class Round:
    """One scenario played once; ``failure``: why it did not end well."""

    scenario: str
    seed: int
    seconds: float
    figures: dict[str, Any]
    failure: str

    @property
    def well(self) -> bool:
        return not self.failure and self.figures.get("difference") == 0


def line(one: Round) -> str:
    """A round for the terminal."""
    told = one.failure.split("\n")[0] if one.failure else _figures(one)
    return f"{one.scenario} (seed {one.seed}, {one.seconds:.0f} s): {told}"


def write(folder: Path, words: argparse.Namespace, rounds: list[Round], steady: Steady) -> None:
    """``soak.json`` and ``soak.md``."""
    summary = summarize(rounds, steady)
    whole = {"hours": words.hours, "seed": words.seed, "summary": summary, "curve": steady.curve}
    whole["rounds"] = [asdict(one) for one in rounds]
    (folder / "soak.json").write_text(json.dumps(whole, indent=1) + "\n")
    (folder / "soak.md").write_text("\n".join([*_head(words, summary), *_rounds(rounds), *_memory(steady)]) + "\n")


def summarize(rounds: list[Round], steady: Steady) -> dict[str, Any]:
    """Over all rounds; times in seconds, memory in MB."""
    ready = [second for one in rounds for second in one.figures.get("ready_s", ())]
    stalls = [second for one in rounds for second in one.figures.get("stall_s", ())]
    return {
        "rounds": len(rounds),
        "not_well": sum(not one.well for one in rounds),
        "difference": sum(one.figures.get("difference", 0) for one in rounds),
        "kills": sum(one.figures.get(name, 0) for one in rounds for name in ("kills", "projectors", "publishers")),
        "ready_p50": percentile(ready, 0.5) if ready else None,
        "ready_p95": percentile(ready, 0.95) if ready else None,
        "ready_max": max(ready, default=None),
        "stall_max": max(stalls, default=None),
        "memory": {role: _range(steady, role) for role in (steady.curve[0][1] if steady.curve else ())},
    }


def _range(steady: Steady, role: str) -> dict[str, float]:
    values = [values[role] for _, values in steady.curve]
    warm = values[len(values) // 10 :]  # after the start
    return {"start": warm[0], "end": warm[-1], "max": max(values)}


def not_met(summary: dict[str, Any]) -> list[str]:
    """What was measured and took longer than it should."""
    bounds = {"ready_p95": READY_S, "stall_max": STALL_S}
    return [name for name, bound in bounds.items() if summary[name] is not None and summary[name] > bound]


def _head(words: argparse.Namespace, summary: dict[str, Any]) -> list[str]:
    def told(name: str, bound: float | None = None) -> str:
        if summary[name] is None:
            return "not measured"
        met = "" if bound is None else f", within {bound:g} s: {'NOT MET' if name in not_met(summary) else 'met'}"
        return f"{summary[name]:.1f} s{met}"

    return [
        "# Soak",
        "",
        f"{words.hours:g} hours, seed {words.seed}, {os.cpu_count()} cores, ended {time.strftime('%Y-%m-%d %H:%M')}.",
        f"Again: `python -m tests.faults.soak --hours {words.hours:g} --seed {words.seed}`.",
        "",
        f"- {summary['rounds']} rounds, {summary['not_well']} not well, difference {summary['difference']}",
        f"- {summary['kills']} processes killed; worker ready again after: median {told('ready_p50')}; 95th percentile "
        f"{told('ready_p95', READY_S)}; most {told('ready_max')}",
        f"- longest stall {told('stall_max', STALL_S)}",
        "",
    ]


def _rounds(rounds: list[Round]) -> list[str]:
    rows = ["| scenario | seed | s | difference | figures |", "| --- | --- | --- | --- | --- |"]
    for one in rounds:
        told = one.failure.replace("\n", " ")[:200] if one.failure else _figures(one)
        difference = one.figures.get("difference", "?")
        rows.append(f"| {one.scenario} | {one.seed} | {one.seconds:.0f} | {difference} | {told} |")
    return [*rows, ""]


def _memory(steady: Steady) -> list[str]:
    if not steady.curve:
        return []
    roles = list(steady.curve[0][1])
    step = -(-len(steady.curve) // CURVE_LINES)
    ranges = [_range(steady, role) for role in roles]
    return [
        f"Resident memory (MB) of a stack under {RATE} events a second that nobody kills:",
        "",
        f"| s | {' | '.join(roles)} |",
        f"| --- |{' --- |' * len(roles)}",
        *(f"| {at:.0f} | {' | '.join(f'{now[role]:.0f}' for role in roles)} |" for at, now in steady.curve[::step]),
        f"| most | {' | '.join(format(values['max'], '.0f') for values in ranges)} |",
    ]


def _figures(one: Round) -> str:
    plain = {name: value for name, value in one.figures.items() if not isinstance(value, list)}
    return ", ".join(f"{k} {v:.1f}" if isinstance(v, float) else f"{k} {v}" for k, v in plain.items())
