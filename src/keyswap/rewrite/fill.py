"""The change: real values into the places where whole placeholders stand, and nowhere else (S19, S20, S22, S23)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from keyswap.errors import RewriteError
from keyswap.exchange import CredentialName, Fields, Grant
from keyswap.rewrite.placeholder import Book
from keyswap.rewrite.places import Parts, take_apart

_BREAKS = frozenset(b"\r\n\0")


class _Spot(NamedTuple):
    """One whole placeholder: in which field, and at which place of it."""

    at: int
    name: bytes
    place: str
    credential: CredentialName


def fill(fields: Fields, grants: Iterable[Grant], book: Book) -> Fields:
    """The fields with each granted placeholder replaced by its real value.

    A credential is filled into the first of its headers, in its own order, that holds its placeholder at a granted
    place; other lines of that name and its other headers are removed, whatever they hold, unless another grant fills
    them. The scheme word, the other half of Basic, order and case stay. Values go in as bytes; nothing in them has a
    meaning. Raises RewriteError, and releases nothing, if a placeholder would leave unfilled or a value does not fit.
    """
    values = {(grant.credential, grant.place): grant for grant in grants}
    names = [name.lower() for name, _ in fields]
    parts = {
        at: taken
        for at, name in enumerate(names)
        if name in book.declared and (taken := take_apart(name, fields[at][1]))
    }
    spots = tuple(_spots(names, parts, book))
    kept = _kept([spot for spot in spots if (spot.credential, spot.place) in values], book)
    changes: dict[int, dict[str, bytes]] = {}
    for spot in spots:
        if kept.get(spot.credential) == spot.at and (grant := values.get((spot.credential, spot.place))):
            changes.setdefault(spot.at, {})[spot.place] = _fitting(grant)
    siblings = {name for credential in kept for name in book.headers[credential]}
    left = [at for at, name in enumerate(names) if at in changes or name not in siblings]
    _refuse_leftovers(spots, frozenset(left), changes)
    return tuple(
        (fields[at][0], parts[at].refilled(book.declared[names[at]], changes[at])) if at in changes else fields[at]
        for at in left
    )


def _spots(names: Sequence[bytes], parts: Mapping[int, Parts], book: Book) -> Iterator[_Spot]:
    for at, taken in parts.items():
        name = names[at]
        for place, token in taken.slots(book.declared[name]):
            if credential := book.own.get(token):
                yield _Spot(at, name, place, credential)


def _kept(granted: list[_Spot], book: Book) -> dict[CredentialName, int]:
    """The one field of each credential that is filled; no two fields of one name (S23)."""
    kept: dict[CredentialName, int] = {}
    taken: dict[bytes, int] = {}
    for credential in dict.fromkeys(spot.credential for spot in granted):
        order = book.headers[credential]
        # A place outside the credential's own headers is none of its places, whatever a grant says.
        mine = [spot for spot in granted if spot.credential == credential and spot.name in order]
        free = [spot for spot in mine if taken.get(spot.name, spot.at) == spot.at]
        if free:
            first = min(free, key=lambda spot: order.index(spot.name))
            kept[credential] = taken[first.name] = first.at
    return kept


def _fitting(grant: Grant) -> bytes:
    value = grant.secret.reveal()
    if not value or not _BREAKS.isdisjoint(value):
        raise RewriteError(f"the value of {grant.credential} cannot stand in a header", "store it as one plain line")
    if grant.place == "basic:user" and b":" in value:
        raise RewriteError(
            f"the value of {grant.credential} holds a colon and cannot be the user of Basic", "send it as the password"
        )
    return value


def _refuse_leftovers(spots: Iterable[_Spot], left: frozenset[int], changes: Mapping[int, Mapping[str, bytes]]) -> None:
    for spot in spots:
        if spot.at in left and spot.place not in changes.get(spot.at, {}):
            raise RewriteError(f"a placeholder of {spot.credential} would leave unfilled", "send it in one place only")
