"""Attributes that are computed once, without a lock that a forked child could inherit held."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

T = TypeVar("T")


class lazy(Generic[T]):  # noqa: N801 - reads as the decorator that it is
    """`functools.cached_property` as of Python 3.12; that of 3.11 holds one lock for all
    instances while it computes. Two threads may compute at once; the last one's value stays.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self._name = ""
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> Self | T:
        if instance is None:
            return self
        value = self._compute(instance)
        # Found before this descriptor from now on, since that has no __set__.
        instance.__dict__[self._name] = value
        return value
