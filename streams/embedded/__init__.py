"""The field in one process: log, state and dead letters in one SQLite file, folded by the same code as Kafka's log.

``store`` is the file, ``log`` its records, ``state`` what was folded of them; ``driver`` folds, ``publisher`` appends,
``history`` reads from a position to a position. Everything that belongs together is one transaction.
"""
