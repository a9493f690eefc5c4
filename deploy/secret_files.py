"""Secrets from files: a secret setting NAME may be given as NAME_FILE, the path of a file with its text.

The file is read where the environment is read, and what is written down for later commands is its path.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from streams.errors import SettingError
from streams.settings import FILE_SUFFIX, secrets

FILES: Final = {name + FILE_SUFFIX: name for name in sorted(secrets())}
"""The setting that stands in each file."""
BYTES_MAX: Final = 65_536


def resolved(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment with the text of the files; raises SettingError that names the bad one."""
    found = dict(environ)
    for file, name in FILES.items():
        if path := found.pop(file, ""):
            if environ.get(name):
                raise SettingError(file, f"and {name} are both given: keep one")
            found[name] = _text(file, Path(path))
    return found


def over(before: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Both together, with ``environ`` in front: a secret that it has in either form replaces the other form too."""
    twins = {**FILES, **{name: file for file, name in FILES.items()}}
    gone = {twins[name] for name in environ if name in twins and environ[name]}
    return {**{name: value for name, value in before.items() if name not in gone}, **environ}


def _text(setting: str, path: Path) -> str:
    """One secret; line ends at its end are not part of it."""
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(path.stat().st_mode) & stat.S_IROTH:
                raise SettingError(setting, f"{path} can be read by everybody: chmod o-rwx it")
            content = file.read(BYTES_MAX)
    except OSError as error:
        raise SettingError(setting, f"{path}: {error.strerror or error}") from None
    try:
        text = content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise SettingError(setting, f"{path} is not UTF-8 text") from None
    if not text or "\n" in text or "\0" in text:
        raise SettingError(setting, f"{path} is empty" if not text else f"{path} has more than one line")
    return text
