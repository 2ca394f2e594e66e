"""Compiled code: a digest of what it does, and the names by which it refers to other things."""

from __future__ import annotations

import dis
import weakref
from types import CodeType
from typing import NamedTuple

import xxhash

__all__ = ["CodeFacts", "facts_of"]

_GLOBAL = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_TEXT = frozenset({"eval", "exec", "compile", "globals", "locals", "__import__", "import_module"})
_BY_NAME = frozenset(
    {
        "getattr",
        "vars",
        "dir",
        "attrgetter",
        "methodcaller",
        "getmembers",
        "__dict__",
        "__getattribute__",
    }
)

_known: dict[int, tuple[weakref.ref[CodeType], CodeFacts]] = {}


class CodeFacts(NamedTuple):
    """What compiled code does and refers to, functions inside it included.

    Parameters
    ----------
    digest : str
        Digest of instructions, constants and signatures, not of names of files or numbers of lines.
    global_names : tuple of str
        Sorted names of globals that it reads.
    names : frozenset of str
        Names of attributes and globals, and constants that may be such names.
    imports : tuple of (str, int)
        Modules that it imports, with the number of dots before them.
    runs_text : bool
        Whether it may run code that is not in it.
    takes_any_name : bool
        Whether it may use attributes whose names are not in it.
    """

    digest: str
    global_names: tuple[str, ...]
    names: frozenset[str]
    imports: tuple[tuple[str, int], ...]
    runs_text: bool
    takes_any_name: bool


def facts_of(code: CodeType) -> CodeFacts:
    """Read compiled code, once while it lives."""
    known = _known.get(id(code))
    if known is not None and known[0]() is code:
        return known[1]
    digest = xxhash.xxh3_128()
    global_names: set[str] = set()
    names: set[str] = set()
    imports: set[tuple[str, int]] = set()
    _read(code, digest, global_names, names, imports)
    facts = CodeFacts(
        digest.hexdigest(),
        tuple(sorted(global_names)),
        frozenset(names),
        tuple(sorted(imports)),
        bool(names & _TEXT),
        bool(names & _BY_NAME),
    )
    number = id(code)
    _known[number] = weakref.ref(code, lambda _: _known.pop(number, None)), facts
    return facts


def _read(
    code: CodeType,
    digest: xxhash.xxh3_128,
    global_names: set[str],
    names: set[str],
    imports: set[tuple[str, int]],
) -> None:
    arguments = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    variables = (code.co_varnames, code.co_names, code.co_cellvars, code.co_freevars)
    for part in (
        code.co_code,
        getattr(code, "co_exceptiontable", b""),
        repr((arguments, variables)).encode(),
    ):
        digest.update(b"%d:" % len(part) + part)
    names.update(code.co_names)
    before: list[object] = [0, 0]
    for step in dis.get_instructions(code):
        if step.opname in _GLOBAL:
            global_names.add(str(step.argval))
        elif step.opname == "IMPORT_NAME":  # takes the dots and the list of names from the stack
            level = before[0]
            imports.add((str(step.argval), level if isinstance(level, int) else 0))
        if step.opname not in ("EXTENDED_ARG", "CACHE"):
            before = [before[1], step.argval]
    for constant in code.co_consts:
        _read_constant(constant, digest, global_names, names, imports)


def _read_constant(
    constant: object,
    digest: xxhash.xxh3_128,
    global_names: set[str],
    names: set[str],
    imports: set[tuple[str, int]],
) -> None:
    if isinstance(constant, CodeType):
        digest.update(b"code")
        _read(constant, digest, global_names, names, imports)
    elif isinstance(constant, tuple):
        digest.update(b"%d items" % len(constant))
        for item in constant:
            _read_constant(item, digest, global_names, names, imports)
    elif isinstance(constant, frozenset):  # whose order differs from process to process
        digest.update(repr(sorted(map(repr, constant))).encode())
    else:
        if isinstance(constant, str) and constant.isidentifier():
            names.add(constant)
        digest.update(f"{type(constant).__name__} {constant!r}".encode("utf-8", "surrogatepass"))
