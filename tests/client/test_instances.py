"""What a program has of an instance is what is kept of it, whatever its class and the names in it."""

# ruff: noqa: PLC2401  # such names are what this is about

import dataclasses
import datetime as dt
import enum
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, NotRequired, TypedDict, TypeVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from threadd.client import Client, CollectionConfig, Database
from threadd.client.buckets import Bucket
from threadd.client.collections import Collection
from threadd.client.instances import decode, encode
from threadd.client.transactions import WriteTransaction

V = TypeVar("V")


def fresh(name: str) -> str:
    """The same name as a string of its own, that nothing has encoded."""
    return "".join(list(name))


class Place(TypedDict):
    straße: str


class Folder(TypedDict):
    имя: str
    дети: "list[Folder]"


class Pair(TypedDict, Generic[V]):
    値: V


@dataclasses.dataclass
class Street:
    größe: int
    ort: dict[str, Place]


class Room(msgspec.Struct):
    größe: int
    breite: int = msgspec.field(name="bréite")


class Cat(msgspec.Struct, tag_field="großart", tag="kätzchen"):
    name: str


class Dog(msgspec.Struct, tag_field="großart", tag="hündchen"):
    name: str


class Colour(enum.Enum):
    GREEN = "vert-de-gris"


class Paint(TypedDict):
    couleur: Colour
    créé: dt.date


class Person(TypedDict):
    _id: str
    prénom: str
    straße: NotRequired[Place | None]


KINDS: list[tuple[Any, Mapping[str, Any]]] = [
    (Person, {"_id": "1", "prénom": "Zoé", "straße": {"straße": "Weg"}}),
    (Folder, {"имя": "a", "дети": [{"имя": "b", "дети": []}]}),
    (Pair[int], {"値": 1}),
    (Street, {"größe": 3, "ort": {"ö": {"straße": "Weg"}}}),
    (dict[str, Place], {"é": {"straße": "Weg"}}),
    (Room, {"größe": 3, "bréite": 4}),
    (Cat | Dog, {"großart": "hündchen", "name": "Rex"}),
    (Paint, {"couleur": "vert-de-gris", "créé": "2020-01-31"}),
]


@pytest.mark.parametrize(("kind", "document"), KINDS, ids=[str(kind) for kind, _ in KINDS])
def test_no_field_is_lost_between_reading_and_saving(kind: Any, document: Mapping[str, Any]) -> None:
    text = json.dumps(document, ensure_ascii=False).encode()
    assert json.loads(encode(decode(text, kind))) == document


@given(st.dictionaries(st.text(min_size=1), st.integers(-(2**53), 2**53), min_size=1, max_size=5))
def test_names_of_a_typed_dict_may_be_anything(document: dict[str, int]) -> None:
    kind: Any = TypedDict("Kind", {fresh(name): int for name in document})
    assert decode(json.dumps(document).encode(), kind) == document


@pytest.mark.parametrize(
    "make",
    [lambda name: dataclasses.make_dataclass("Kind", [(name, int, 0)]), lambda name: TypedDict("Kind", {name: int})],
)
def test_a_field_that_is_named_nothing_is_another_field(make: Callable[[str], Any]) -> None:
    found: Any = decode('{"größe":1,"":3}'.encode(), make(fresh("größe")))
    assert (found["größe"] if isinstance(found, dict) else found.größe) == 1


async def test_a_typed_dict_is_saved_as_it_was_read(db: Database) -> None:
    people = await db.new_collection("people")
    await people.create([{"_id": "1", "prénom": "Zoé", "": 3}])
    typed = db.collection("people", Person)
    await typed.save([await typed.get("1")])
    assert (await people.get("1"))["prénom"] == "Zoé"
    async with typed.write_transaction() as transaction:
        await transaction.save(await transaction.find())
    assert (await people.get("1"))["prénom"] == "Zoé"


ONE = ["abc", b"abc", bytearray(b"abc"), memoryview(b"abc"), {"_id": "a"}]

TAKES_MANY: dict[str, Callable[[Collection[Any], Any], Awaitable[Any]]] = {
    "create": lambda people, one: people.create(one),
    "save": lambda people, one: people.save(one),
    "verify": lambda people, one: people.verify(one),
    "delete": lambda people, one: people.delete(one),
    "has": lambda people, one: people.has(one),
}
IN_A_TRANSACTION: dict[str, Callable[[WriteTransaction[Any], Any], Awaitable[Any]]] = {
    "create": lambda transaction, one: transaction.create(one),
    "save": lambda transaction, one: transaction.save(one),
    "verify": lambda transaction, one: transaction.verify(one),
    "delete": lambda transaction, one: transaction.delete(one),
    "has": lambda transaction, one: transaction.has(one),
}


async def three(db: Database) -> Collection[dict[str, Any]]:
    people = await db.new_collection("people")
    await people.create([{"_id": name} for name in "abc"])
    return people


@pytest.mark.parametrize("one", ONE, ids=lambda one: type(one).__name__)
async def test_one_where_several_are_taken_is_refused_and_nothing_happens(db: Database, one: Any) -> None:
    people = await three(db)
    for call in TAKES_MANY.values():
        with pytest.raises(TypeError, match="not one"):
            await call(people, one)
    async with people.write_transaction() as transaction:
        for within in IN_A_TRANSACTION.values():
            with pytest.raises(TypeError, match="not one"):
                await within(transaction, one)
    assert await people.count() == 3


@pytest.mark.parametrize("one", ONE, ids=lambda one: type(one).__name__)
async def test_one_where_several_paths_or_collections_are_taken_is_refused(
    client: Client, db: Database, one: Any
) -> None:
    with pytest.raises(TypeError, match="not one"):
        await db.new_collection("people", indexes=one)
    with pytest.raises(TypeError, match="not one"):
        await db.update_collection(CollectionConfig("people", unique=one))
    with pytest.raises(TypeError, match="not one"):
        await client.new_db(collections=one)
    assert await db.list_collections() == []


async def test_files_without_their_paths_are_refused() -> None:
    bucket: Any = object.__new__(Bucket)
    with pytest.raises(TypeError, match="mapping"):
        await bucket.push_all("abc")


async def test_any_iterable_of_several_will_do(db: Database) -> None:
    people = await three(db)
    assert await people.has({"a", "b"})
    await people.delete(name for name in ("a", "b"))
    await people.save({"_id": name} for name in ("c", "d"))
    assert [found["_id"] for found in await people.find()] == ["c", "d"]
