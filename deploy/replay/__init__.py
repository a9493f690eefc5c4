"""Replay as an operator sees it: plan, run, compare, switch, drop."""
