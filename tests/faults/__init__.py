"""Faults: real processes are killed, stopped and cut off, and what is left is compared with an independent oracle."""
