"""Example events and records, good and bad; the files beside this are generated from here."""
