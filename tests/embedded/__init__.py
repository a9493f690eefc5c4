"""The field in SQLite: its file, its driver, and what happens when it is killed."""
