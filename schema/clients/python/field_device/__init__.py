"""Publish events to the field from a device: nothing that ``publish()`` returned for is lost or counted twice.

Standard library only; copy this folder, or ``pip install`` the folder above it.
"""

from __future__ import annotations

from field_device.device import Device, Stats
from field_device.ids import new_id, pseudonym
from field_device.sending import Policy, Rejected, delay_s
from field_device.store import Store, StoreError

__all__ = ["Device", "Policy", "Rejected", "Stats", "Store", "StoreError", "delay_s", "new_id", "pseudonym"]
