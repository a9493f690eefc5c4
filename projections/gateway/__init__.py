"""The system's face: devices in, dashboards out, over HTTP and WebSocket. ``app`` puts the areas together.

Any number of gateways run side by side; each keeps nothing that cannot be had again from the log and its projections.
"""
