"""What the papers tell one to type for Kubernetes fits what the overlays have."""

from __future__ import annotations

import re

from tests.kubernetes.world import overlay
from tests.tidy.source import ROOT

PAPERS = sorted((ROOT / "deploy").rglob("*.md"))
SCALED = re.compile(r"\bscale (?:--\S+ )*(?:sts|deploy|statefulset|deployment)[/ ]([\w-]+)|kubectl scale`? (\w+)")


def test_nobody_is_told_to_scale_what_an_autoscaler_scales() -> None:
    """It would be undone at the autoscaler's next look."""
    found = overlay("production")
    scaled = {
        d["spec"]["scaleTargetRef"]["name"] for d in found if d["kind"] in ("ScaledObject", "HorizontalPodAutoscaler")
    }
    assert scaled == {"field-worker", "field-gateway"}
    told = {name or word for path in PAPERS for name, word in SCALED.findall(" ".join(path.read_text().split()))}
    assert told == {"field-operator"}
    objects = {d["metadata"]["name"] for d in found if d["kind"] == "ScaledObject"}
    named = {name for path in PAPERS for name in re.findall(r"scaledobject/([\w-]+)", path.read_text())}
    assert named == objects
