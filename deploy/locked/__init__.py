"""The locked set-up: accounts with least rights by role, TLS on every line (``deploy/SECURITY.md``)."""
