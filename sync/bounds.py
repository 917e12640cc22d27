"""Bounds: how much msgpack would unpack to, found out without unpacking it.

A list takes memory for as many items as its header claims, a text of three bytes takes eighty,
and keys of maps are interned, which some Pythons never undo: none of this is bounded by the
number of bytes.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class TooManyItemsError(ValueError):
    """More items, or more entries of maps, than there may be; or what no batch is made of."""


class _Form(NamedTuple):
    """What a first byte announces: `skip` bytes with itself, then `width` bytes of a length of
    content (`each` 0) or of a list (1) or a map (2), or `items` at once."""

    skip: int = 1
    width: int = 0
    each: int = 0
    items: int = 0


def _form(head: int) -> _Form | None:
    if head < 0x80 or head >= 0xE0:
        return _Form()
    if head < 0x90:
        return _Form(each=2, items=head & 0x0F)
    if head < 0xA0:
        return _Form(each=1, items=head & 0x0F)
    if head < 0xC0:
        return _Form(1 + (head & 0x1F))
    return _OTHERS.get(head)


_OTHERS: Final = {
    **dict.fromkeys((0xC0, 0xC2, 0xC3), _Form()),
    0xC4: _Form(width=1),
    0xC5: _Form(width=2),
    0xC6: _Form(width=4),
    0xCA: _Form(5),
    0xCB: _Form(9),
    0xCC: _Form(2),
    0xCD: _Form(3),
    0xCE: _Form(5),
    0xCF: _Form(9),
    0xD0: _Form(2),
    0xD1: _Form(3),
    0xD2: _Form(5),
    0xD3: _Form(9),
    0xD9: _Form(width=1),
    0xDA: _Form(width=2),
    0xDB: _Form(width=4),
    0xDC: _Form(width=2, each=1),
    0xDD: _Form(width=4, each=1),
    0xDE: _Form(width=2, each=2),
    0xDF: _Form(width=4, each=2),
}
_FORMS: Final = [_form(head) for head in range(256)]


def require_bounded(content: bytes, *, items: int, keys: int) -> None:
    """Make sure that `content` has at most so many items, and so many of them keys of maps.

    It may still be cut short, or be followed by more: whoever unpacks it sees that.

    Raises:
        TooManyItemsError: it has more, or an extension type in it.
    """
    at, expected, end = 0, 1, len(content)
    while expected and at < end:
        form = _FORMS[content[at]]
        if form is None:
            raise TooManyItemsError("an extension type")
        skip, width, each, count = form
        at += skip
        expected -= 1
        if width:
            count = int.from_bytes(content[at : at + width], "big")
            at += width
        if not each:
            at += count
            continue
        expected += count * each
        items -= count * each
        keys -= count * (each - 1)
        if items < 0 or keys < 0:
            raise TooManyItemsError("more items than there may be")
