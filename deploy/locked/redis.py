"""The locks of Redis: the file of its accounts (``users.acl``), with hashes of the passwords."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from deploy.locked.roles import ADMIN, redis_rules


def users(passwords: Mapping[str, str]) -> str:
    """The file; ``passwords`` by role, that of the admin among them. Whoever has no account may do nothing."""
    rules = {**redis_rules(), ADMIN: ("~*", "&*", "+@all")}
    lines = ["user default off resetpass resetkeys resetchannels -@all"]
    for role, words in rules.items():
        digest = hashlib.sha256(passwords[role].encode()).hexdigest()
        lines.append(f"user {role} on resetpass #{digest} resetkeys resetchannels -@all {' '.join(words)}")
    return "\n".join(lines) + "\n"
