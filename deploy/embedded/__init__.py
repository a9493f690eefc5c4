"""The field without any part, as commands see it: ``backend`` (log, state), ``observe``, ``keeper`` (the run)."""
