"""Backups of log, database and dead letters, and what brings them back into an empty place."""
