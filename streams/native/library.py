"""The compiled library, where ``deploy.local.native`` puts it, and the types of its functions."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Final

from streams.errors import SettingError, SetupError
from streams.native import built
from streams.settings import Settings

PATH: Final = built.LIBRARY
_BYTES: Final = (ctypes.c_char_p, ctypes.c_size_t)
_FUNCTIONS: Final = {
    "load": (ctypes.c_size_t, *_BYTES),
    "events": (ctypes.c_int64, *_BYTES),
    "plain": (ctypes.c_uint32, ctypes.c_uint32, ctypes.c_int64, ctypes.c_uint64, ctypes.c_uint32),
    "chunk": (ctypes.c_void_p,),
    "block": (ctypes.c_void_p,),
    "checkpoint": (*_BYTES, ctypes.c_bool),
    "numbers": (ctypes.POINTER(ctypes.c_int64),),
    "stand": (ctypes.c_int64,),
}


def is_chosen(settings: Settings) -> bool:
    """Whether it is to be used; raises SettingError where FIELD_FOLD asks for it and it is not there."""
    if settings.fold == "simple":
        return False
    found = problem()
    if found and settings.fold == "compiled":
        raise SettingError("FIELD_FOLD", f"compiled, but {found}")
    return not found


@cache
def problem() -> str:
    """Why the library cannot be used here; empty when it can."""
    if not PATH.exists():
        return f"{PATH.name} is not built: `make venv` builds it where there is a rustc, or where apt can bring one"
    if built.SOURCES.is_dir() and not built.is_built(PATH):  # an installed package has no sources beside it
        return f"{PATH.name} is of other sources than those that are here: `make venv` builds it anew"
    try:
        load()
    except (OSError, AttributeError) as error:
        return f"{PATH.name} cannot be loaded ({error}): `make venv` builds it anew"
    return ""


@cache
def load() -> ctypes.CDLL:
    """The library; raises SetupError where it is not there, what ctypes raises where it is another one."""
    if not PATH.exists():
        raise SetupError(problem())
    return declare(ctypes.CDLL(str(PATH)))


def declare(library: ctypes.CDLL) -> ctypes.CDLL:
    """The library with the types of its functions set."""
    for name, arguments in _FUNCTIONS.items():
        function = getattr(library, f"field_fold_{name}")
        function.argtypes, function.restype = (ctypes.c_void_p, *arguments), ctypes.c_int32
    library.field_fold_new.argtypes = (ctypes.c_int64, ctypes.c_size_t, ctypes.c_size_t, *_BYTES)
    library.field_fold_new.restype = ctypes.c_void_p
    library.field_fold_free.argtypes, library.field_fold_free.restype = (ctypes.c_void_p,), None
    library.field_fold_text.argtypes = (ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t))
    library.field_fold_text.restype = ctypes.c_void_p
    library.field_rows_new.argtypes = (
        ctypes.POINTER(ctypes.c_int64), ctypes.c_uint32, ctypes.c_int64, ctypes.c_uint64, ctypes.c_uint32,
    )  # fmt: skip
    library.field_rows_new.restype = ctypes.c_void_p
    library.field_rows_free.argtypes, library.field_rows_free.restype = (ctypes.c_void_p,), None
    library.field_rows_make.argtypes = (ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p)
    library.field_rows_make.restype = ctypes.c_int32
    library.field_rows_last.argtypes = (ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t))
    library.field_rows_last.restype = ctypes.c_void_p
    return library
