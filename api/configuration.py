"""Config and Summary: what a run was started with, and what it came to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

from store.api.values import clean_key, clean_setting, fields_of
from store.errors import UsageError
from store.row import DELETED

Write = Callable[[dict[str, Any]], None]


def as_mapping(values: object, what: str) -> dict[str, Any]:
    """A dict from a mapping, an argparse namespace or a dataclass.

    Raises:
        UsageError: anything else.
    """
    if values is None:
        return {}
    if isinstance(values, Mapping):
        return dict(values)
    fields = fields_of(values)
    if fields is None:
        raise UsageError(
            f"{what} takes a dict, an argparse namespace or a dataclass,"
            f" not {type(values).__name__}"
        )
    return fields


class Config(MutableMapping[str, Any]):
    """The run's settings: `config.lr`, `config["lr"]`, `config.update(...)`.

    A value that is set stays what it is, unless `allow_val_change=True` says otherwise.
    """

    def __init__(self, write: Write, known: Mapping[str, Any]) -> None:
        self.__dict__["_write"] = write
        self.__dict__["_values"] = dict(known)

    def update(self, *others: Any, allow_val_change: bool = False, **values: Any) -> None:
        """Set several values from mappings, argparse namespaces, dataclasses or keywords.

        Raises:
            UsageError: a value differs from the one that is set, without `allow_val_change`.
        """
        merged: dict[str, Any] = {}
        for other in (*others, values):
            merged |= as_mapping(other, "config")
        changed: dict[str, Any] = {}
        for key, value in merged.items():
            name, clean = clean_key(key), clean_setting(value)
            if name not in self._values:
                changed[name] = clean
            elif not _same(self._values[name], clean):
                if not allow_val_change:
                    raise UsageError(
                        f"config {name!r} is {self._values[name]!r} and would become {clean!r}",
                        hint="config.update(..., allow_val_change=True) means it",
                    )
                changed[name] = clean
        if changed:
            self._values.update(changed)
            self._write(changed)

    def setdefaults(self, values: Any) -> None:
        """Set those of `values` that are not set yet."""
        given = as_mapping(values, "config")
        self.update({k: v for k, v in given.items() if clean_key(k) not in self._values})

    def as_dict(self) -> dict[str, Any]:
        """A plain copy."""
        return dict(self._values)

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def __delitem__(self, key: str) -> None:
        del self._values[key]
        self._write({key: DELETED})

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_values"][name]
        except KeyError:
            raise AttributeError(f"config has no {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError:
            raise AttributeError(f"config has no {name!r}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._values))

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __repr__(self) -> str:
        return repr(self._values)


def _same(one: Any, other: Any) -> bool:
    """Equal, NaN to NaN, and 1 not to True."""
    return repr(one) == repr(other) or (type(one) is type(other) and bool(one == other))


class Summary(MutableMapping[str, Any]):
    """One value per key: the one that was set, else the last one logged.

    `define_metric(key, summary="min")` and the like choose another; those, and what other
    processes logged, come from the run's database (`read`).
    """

    def __init__(
        self, write: Write, logged: Mapping[str, Any], read: Callable[[], dict[str, Any]]
    ) -> None:
        self._write = write
        self._logged = logged
        self._read = read
        self._set: dict[str, Any] = {}
        self._chosen: set[str] = set()

    def choose(self, key: str) -> None:
        """The value of `key` is not the last one, but what define_metric says."""
        self._chosen.add(key)

    def update(self, *others: Any, **values: Any) -> None:
        """Set several values."""
        merged: dict[str, Any] = {}
        for other in (*others, values):
            merged |= as_mapping(other, "summary")
        clean = {clean_key(k): clean_setting(v) for k, v in merged.items()}
        if clean:
            self._set.update(clean)
            self._write(clean)

    def as_dict(self) -> dict[str, Any]:
        """All of it, as one dict."""
        merged = self._read()
        merged |= {k: v for k, v in self._logged.items() if k not in self._chosen}
        merged |= self._set
        return {key: value for key, value in merged.items() if value != DELETED}

    def __getitem__(self, key: str) -> Any:
        value = self._set.get(key)
        if value is None and key not in self._chosen:
            value = self._logged.get(key)
        if value is None:
            value = self._set.get(key, self._read().get(key, DELETED))
        if value == DELETED:
            raise KeyError(key)
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def __delitem__(self, key: str) -> None:
        self[key]
        self._set[key] = DELETED
        self._write({key: DELETED})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"summary has no {name!r}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.as_dict())

    def __len__(self) -> int:
        return len(self.as_dict())

    def __repr__(self) -> str:
        return repr(self.as_dict())
