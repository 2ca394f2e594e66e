"""Objects of any class: their class, their attributes and what they hold."""

from __future__ import annotations

import copyreg
import sys
from typing import TYPE_CHECKING

from sktransfer.identity.packages import package_of_class

if TYPE_CHECKING:
    from sktransfer.identity.walk import Walk

__all__ = ["attributes_of", "visit_object", "visit_reduced"]

_HEAP_TYPE = 1 << 9  # CPython's flag of classes that are not built in
_VALUES = (int, float, complex, str, bytes)


def visit_object(walk: Walk, value: object) -> None:
    """Write down an object that has no rule of its own."""
    cls = type(value)
    if cls.__module__.startswith("torch._ops"):  # operators, which torch knows by their names
        walk.put("operator", str(value))
        return
    # Equal frozen ones may be one object in a process and two in another.
    if not _is_frozen(value) and not walk.is_new(value):
        return
    walk.put("object")
    walk.visit(cls)
    if isinstance(value, _VALUES):
        base = next(base for base in _VALUES if isinstance(value, base))
        walk.put("value", base.__repr__(value))
    if isinstance(value, dict):
        walk.visit_all("keys", value.keys())
        walk.visit_all("values", value.values())
    elif isinstance(value, list | tuple):
        walk.visit_all("items", value)
    elif isinstance(value, set | frozenset):
        walk.visit_unordered("members", value)
    if _chooses_what_is_pickled(cls) and (walk.replace is not None or package_of_class(cls)):
        visit_reduced(walk, value)  # it keeps things that are of this process only
    elif _is_readable(value):
        walk.visit_attributes(attributes_of(value))
    else:
        visit_reduced(walk, value)


def attributes_of(value: object) -> dict[str, object]:
    """Return the attributes that an object holds itself, sorted by their names."""
    found = dict(getattr(value, "__dict__", {}))
    for cls in type(value).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            name = f"_{cls.__name__.lstrip('_')}{slot}" if slot.startswith("__") else slot
            if slot not in ("__dict__", "__weakref__") and hasattr(value, name):
                found[name] = getattr(value, name)
    return dict(sorted((str(name), attribute) for name, attribute in found.items()))


def _home_of(value: object, name: str) -> str:
    """Find the module in which an object has a name; what NumPy's `frompyfunc` makes has none.

    Raises
    ------
    StopIteration
        If there is none.
    """
    homes = (getattr(value, "__module__", None), type(value).__module__, "numpy", "scipy.special")
    modules = ((home, sys.modules[home]) for home in homes if home in sys.modules)
    return next(str(home) for home, module in modules if vars(module).get(name) is value)


def _is_frozen(value: object) -> bool:
    parameters = getattr(type(value), "__dataclass_params__", None)
    return bool(getattr(parameters, "frozen", False))


def _chooses_what_is_pickled(cls: type) -> bool:
    names = ("__reduce__", "__reduce_ex__", "__getstate__")
    return any(getattr(cls, name, None) is not getattr(object, name, None) for name in names)


def _is_readable(value: object) -> bool:
    """Tell whether what is written down so far is all that there is."""
    containers = (object, dict, list, tuple, set, frozenset, BaseException, Exception, *_VALUES)
    classes = [cls for cls in type(value).__mro__ if cls not in containers]
    return all(
        cls.__flags__ & _HEAP_TYPE and ("__slots__" in cls.__dict__ or _is_of_python(cls))
        for cls in classes
    )


def _is_of_python(cls: type) -> bool:
    """Tell a class that was defined in Python from one of C, whose objects may hide what they hold."""
    return "__module__" in cls.__dict__ and (
        "__dict__" in cls.__dict__
        or any(_is_of_python(base) for base in cls.__bases__ if base is not object)
    )


def visit_reduced(walk: Walk, value: object) -> None:
    """Write down what a pickle would hold."""
    try:
        reducer = copyreg.dispatch_table.get(type(value))
        reduced = reducer(value) if reducer is not None else value.__reduce_ex__(4)
        if isinstance(reduced, str):
            walk.put("global", _home_of(value, reduced), reduced)
            return
        make, arguments, *rest = reduced
        state, items, pairs, *_ = (*rest, None, None, None)
        parts: tuple[object, ...] = (state, list(items or ()), list(pairs or ()))
    except Exception:  # noqa: BLE001 - whatever objects raise that cannot be pickled
        walk.hide(value)
        return
    for part in (make, arguments, *parts):
        walk.visit(part)
