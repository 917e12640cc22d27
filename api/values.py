"""From what people pass to what a row can hold.

Metrics become finite or special floats, 64-bit integers, texts, lists and objects; nested dicts
are flattened with `/`. What cannot be kept is refused with a reason, and the rest is kept.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from store.row import INT_MAX, INT_MIN, MAX_DEPTH

MAX_KEY_BYTES: Final = 4096
MAX_TEXT_BYTES: Final = 2**20
NUMBERS: Final = frozenset({float, int})
Refuse = Callable[[str, str], None]
"""refuse(reason, key): a value is left out."""


class RefusedValueError(ValueError):
    """A value that no row can hold; the text is the reason, the same for all values like it."""


Converter = Callable[[Any], Any]
_converters: dict[type, Converter] = {}
"""By type, so that a numpy scalar costs one look-up and one float(), never `.item()`."""
number_converters: dict[type, Converter] = {}
"""Those of the types that are always numbers: what the short way of log() may use."""


def are_plain(values: Collection[Any]) -> bool:
    """Whether all are floats, and integers of at most 64 bits (a NaN may say no)."""
    return NUMBERS.issuperset(map(type, values)) and (
        not values or (min(values) >= INT_MIN and max(values) <= INT_MAX)
    )


def clean_metrics(data: object, refuse: Refuse) -> dict[str, Any]:
    """The flat dict of values that can be kept, in the order they came in."""
    if not isinstance(data, Mapping):
        refuse(f"log() takes a dict, not {type(data).__name__}", "")
        return {}
    cleaned: dict[str, Any] = {}
    _flatten("", data, cleaned, refuse, 0)
    return cleaned


def clean_step(step: Any, refuse: Refuse) -> int | None:
    """The step as an integer; None, which means the next one, where it is none."""
    try:
        number = int(step)
    except (TypeError, ValueError, OverflowError):
        refuse(f"steps of type {type(step).__name__}", "step")
        return None
    if not INT_MIN < number < INT_MAX:
        refuse("steps over 64 bits", "step")
        return None
    return number


def _flatten(
    prefix: str, data: Mapping[Any, Any], into: dict[str, Any], refuse: Refuse, depth: int
) -> None:
    for name, value in data.items():
        key = ""
        try:
            key = prefix + clean_key(name)
            if len(key) > MAX_KEY_BYTES // 4 and len(key.encode()) > MAX_KEY_BYTES:
                raise RefusedValueError(f"keys longer than {MAX_KEY_BYTES} bytes")
            if isinstance(value, Mapping) and "_type" not in value:
                if depth >= MAX_DEPTH:
                    raise RefusedValueError(f"dicts nested deeper than {MAX_DEPTH} levels")
                _flatten(f"{key}/", value, into, refuse, depth + 1)
            else:
                into[key] = clean_metric(value)
        except RefusedValueError as error:
            refuse(str(error), key[:80])
        except Exception as error:  # noqa: BLE001 - foreign objects may raise anything
            refuse(f"{type(value).__name__} objects that raise {type(error).__name__}", key[:80])


def clean_key(key: object) -> str:
    """A key as text that is valid UTF-8 (lone surrogates become escapes)."""
    if isinstance(key, str):
        text = clean_text(str(key))
    elif isinstance(key, int | float | bool):
        text = str(key)
    else:
        raise RefusedValueError(f"keys of type {type(key).__name__}")
    if not text:
        raise RefusedValueError("empty keys")
    return text


def clean_text(text: str) -> str:
    """The text, lone surrogates escaped."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def clean_metric(value: Any) -> Any:
    """One metric value. RefusedValueError with the reason when it cannot be kept."""
    kind = type(value)
    convert = _converters.get(kind)
    if convert is None:
        convert = _converters[kind] = _find_converter(value)
        numpy = sys.modules.get("numpy")
        if issubclass(kind, int | float) or (
            numpy is not None and issubclass(kind, numpy.number | numpy.bool_)
        ):
            number_converters[kind] = convert
    return convert(value)


def _find_converter(value: Any) -> Converter:
    kind = type(value)
    if issubclass(kind, bool):
        return int
    if issubclass(kind, int):
        return _integer
    if issubclass(kind, str):
        return _text
    if issubclass(kind, list | tuple | Mapping):
        return _nested
    if value is None:
        return _no_value
    numpy = sys.modules.get("numpy")
    if numpy is not None and issubclass(kind, numpy.generic):
        return _numpy_converter(numpy, kind)
    if issubclass(kind, float):
        return float
    if hasattr(kind, "item"):
        return _one_item
    if hasattr(kind, "__float__"):
        return float
    return _stranger


def _numpy_converter(numpy: Any, kind: type) -> Converter:
    if issubclass(kind, numpy.floating):
        return float
    if issubclass(kind, numpy.integer):
        return lambda value: _integer(int(value))
    if issubclass(kind, numpy.bool_):
        return int
    if issubclass(kind, numpy.str_):
        return lambda value: _text(str(value))
    return _stranger


def _integer(value: int) -> int:
    value = int(value)
    if INT_MIN <= value <= INT_MAX:
        return value
    raise RefusedValueError("integers over 64 bits")


def _text(value: str) -> str:
    text = clean_text(str(value))
    if len(text) > MAX_TEXT_BYTES // 4 and len(text.encode()) > MAX_TEXT_BYTES:
        raise RefusedValueError(f"texts longer than {MAX_TEXT_BYTES} bytes")
    return text


def _no_value(value: object) -> object:
    raise RefusedValueError(f"{value} (no value)")


def _one_item(value: Any) -> Any:
    size = getattr(value, "size", 1)
    count = value.numel() if hasattr(value, "numel") else size
    if isinstance(count, int) and count != 1:
        raise RefusedValueError(f"{type(value).__name__} with more or less than one element")
    item = value.item()
    if isinstance(item, bool | int):
        return _integer(item)
    if isinstance(item, float):
        return float(item)
    if isinstance(item, str):
        return _text(item)
    return _stranger(value)


def _stranger(value: object) -> object:
    raise RefusedValueError(f"values of type {type(value).__name__}")


def _nested(value: Any) -> Any:
    cleaned = clean_nested(value)
    if len(repr(cleaned)) > MAX_TEXT_BYTES:
        raise RefusedValueError(f"lists and objects longer than {MAX_TEXT_BYTES} characters")
    return cleaned


def clean_nested(value: Any, depth: int = 0) -> Any:
    """A list or dict with everything in it made fit, as JSON is nested."""
    if depth > MAX_DEPTH:
        raise RefusedValueError(f"values nested deeper than {MAX_DEPTH} levels")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Mapping):
        return {clean_key(k): clean_nested(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [clean_nested(item, depth + 1) for item in value]
    return clean_metric(value)


def clean_setting(value: Any, depth: int = 0) -> Any:
    """A value of config, summary or attributes: what is no data becomes its text."""
    if depth > MAX_DEPTH:
        return clean_text(repr(value))[:1000]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Mapping):
        return {clean_text(str(k)): clean_setting(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [clean_setting(item, depth + 1) for item in value]
    if isinstance(value, set | frozenset):
        return [clean_setting(item, depth + 1) for item in sorted(value, key=repr)]
    if isinstance(value, os.PathLike):
        return clean_text(os.fspath(value) if isinstance(os.fspath(value), str) else str(value))
    fields = fields_of(value)
    if fields is not None:
        return {clean_text(str(k)): clean_setting(v, depth + 1) for k, v in fields.items()}
    try:
        return clean_metric(value)
    except Exception:  # noqa: BLE001 - foreign objects may raise anything; their text is kept
        return _name_of(value)


def fields_of(value: Any) -> dict[str, Any] | None:
    """The fields of a dataclass, an argparse namespace or a pydantic-like model; else None."""
    if isinstance(value, type):
        return None
    if hasattr(value, "__dataclass_fields__"):
        return {name: getattr(value, name) for name in value.__dataclass_fields__}
    argparse = sys.modules.get("argparse")
    if argparse is not None and isinstance(value, argparse.Namespace):
        return dict(vars(value))
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        found = dump()
        return found if isinstance(found, dict) else None
    return None


def _name_of(value: Any) -> str:
    named = getattr(value, "__qualname__", None)
    if isinstance(named, str):
        return clean_text(f"{getattr(value, '__module__', '')}.{named}".lstrip("."))
    return clean_text(repr(value))[:1000]
