"""``field doctor``: what is there, held against what should be; one finding a line, with what to do.

``findings`` says what one is; ``log``, ``database``, ``hot``, ``certificates``, ``saved`` and ``machine`` look, each
with a list of small checks; ``examine`` runs all of them.
"""
