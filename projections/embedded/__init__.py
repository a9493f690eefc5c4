"""The gateway's log and stores where the field is one process: the embedded log, its folded state, rows beside it.

``log`` appends, follows and reads the past; ``field`` reads the folded state; ``rows`` projects the log into a second
SQLite file for history and archaeology; ``build`` puts a gateway of them together.
"""
