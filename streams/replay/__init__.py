"""Folding history again, beside the live state: the same fold, from the log alone, publishing no events."""
