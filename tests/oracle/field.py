"""Field strength by the words of its definition: every source at every place, one at a time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any


def strength(
    x: float,
    y: float,
    particles: Iterable[Mapping[str, Any]],
    quantum_fields: Iterable[Mapping[str, Any]],
    at: int,
    *,
    phase: float,
    resonance: float,
    radius: float = 10.0,
    half_life_ms: float = 300_000.0,
) -> float:
    felt = []
    for particle in particles:
        if particle["x"] is None:
            continue
        apart = math.dist((x, y), (particle["x"], particle["y"]))
        age = at - particle["timestamp"]
        fading = math.exp(-math.log(2.0) * age / half_life_ms) if age > 0 else 1.0
        felt.append(particle["intensity"] * fading * _falloff(apart, radius))
    for field in quantum_fields:
        for harmonic in field["data"].get("harmonics", []):
            apart = math.dist((x, y), (harmonic["x"], harmonic["y"]))
            wave = math.cos(harmonic["phase"] + phase - 2 * math.pi * harmonic["frequency"] * apart / radius)
            felt.append(harmonic["amplitude"] * _falloff(apart, radius) * wave)
    return resonance * math.fsum(felt)


def _falloff(apart: float, radius: float) -> float:
    return (1 - (apart / radius) ** 2) ** 2 if apart < radius else 0.0
