"""Schemas and documents whose cost a caller chooses: told quickly, refused clearly, and nobody else waits."""

import asyncio
import json
import signal
from contextlib import suppress

import pytest
from costly_schemas import (
    ID,
    NUMBERS,
    TOO_COSTLY,
    TOO_COSTLY_TO_COMPILE,
    UNIQUE,
    WRONG_AND_DEEP,
    behind_a_name,
    deep_choice,
    doc,
    doubling,
    items,
    loop_stays_free,
    nested,
    nested_text,
    rich_text,
    text,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from store.databases import CollectionRow
from threadd.db import documents, schema_worker
from threadd.db.collections import Collection, CollectionConfig, Index
from threadd.db.errors import (
    InvalidIndexError,
    InvalidSchemaError,
    SchemaCostError,
    SchemaEngineError,
    SchemaViolationError,
)
from threadd.db.schema_checks import CONFIGS_SECONDS, TRANSACTION_SECONDS, Allowance, SchemaChecks
from threadd.db.schema_worker import Answer, Checker, Outcome, Request
from threadd.db.schemas import Schema
from threadd.db.workers import PoolBusyError, WorkerPool

OPEN = text()
THINGS = "things"
ORDINARY = text(
    required=["name"],
    properties={
        **ID,
        "name": {"type": "string", "minLength": 1},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "email": {"type": "string", "format": "email"},
        "tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        "address": {"type": "object", "properties": {"zip": {"type": "string", "pattern": "^[0-9]{5}$"}}},
    },
)
LIST = '{"content":[{"text":5,"type":"paragraph"}],"type":"list"}'


@pytest.fixture
async def checks():
    checks = SchemaChecks(compile_seconds=0.5, check_seconds=0.3)
    yield checks
    await checks.close()


@pytest.fixture
def no_workers(monkeypatch):
    async def refuse(*_):
        raise AssertionError("a worker is asked")

    monkeypatch.setattr(WorkerPool, "call", refuse)


def collection_of(schema):
    return Collection.of(CollectionRow(1, THINGS, schema, (), "", ""))


async def check(checks, schema, data, allowance=None):
    await checks.check(collection_of(schema), documents.parse(data), data, 1, allowance or Allowance())


@pytest.mark.parametrize(
    ("schema", "data"),
    [
        pytest.param(OPEN, doc(x=1), id="open"),
        pytest.param(
            ORDINARY, doc(name="Ann", age=5, email="a@b.de", tags=["x", "y"], address={"zip": "12345"}), id="ordinary"
        ),
        pytest.param(ORDINARY, doc(name="Ann", tags=[str(n) for n in range(2_000)]), id="a long list"),
        pytest.param(rich_text(), nested_text(14), id="rich text"),
        pytest.param(deep_choice("allOf"), nested(60, {}), id="recursion"),
        pytest.param(
            text(properties={**ID, **{f"f{n}": {"type": "string"} for n in range(150)}}), doc(f1="x"), id="150 fields"
        ),
    ],
)
async def test_what_is_cheap_never_goes_to_a_worker(checks, no_workers, schema, data):
    await checks.check_configs([CollectionConfig(THINGS, schema)])
    await check(checks, schema, data)


@pytest.mark.parametrize(
    ("schema", "data", "text"),
    [
        (ORDINARY, doc(age=5), '(root): "name" is a required property'),
        (ORDINARY, doc(name=5), 'name: 5 is not of type "string" (at /name)'),
        (
            text(properties={**ID, "x": {"anyOf": [{"type": "string"}, {"type": "null"}]}}),
            doc(x={"b": 1.5, "a": "é"}),
            'x: {"a":"é","b":1.5} is not valid under any of the schemas listed in the \'anyOf\' keyword (at /x)',
        ),
        (
            text(properties={**ID, "x": {"oneOf": [{"type": "string"}, {"minLength": 1}]}}),
            doc(x="y"),
            "x: \"y\" is valid under more than one of the schemas listed in the 'oneOf' keyword (at /x)",
        ),
        (
            text(properties={**ID, "x": {"not": {"not": {"type": "string"}}}}),
            doc(x=1),
            'x: {"not":{"type":"string"}} is not allowed for 1 (at /x)',
        ),
    ],
)
async def test_the_text_of_a_violation_is_the_validators_own(checks, no_workers, schema, data, text):
    with pytest.raises(SchemaViolationError) as refused:
        await check(checks, schema, data)
    assert refused.value.text == f"instance doesn't correspond to schema: {text}"


@pytest.mark.parametrize(("schema", "data"), WRONG_AND_DEEP.values(), ids=WRONG_AND_DEEP)
async def test_a_violation_deep_in_a_document_is_told_at_once_in_a_short_text(checks, schema, data):
    with loop_stays_free(), pytest.raises(SchemaViolationError) as refused:
        await check(checks, schema, data)
    assert len(refused.value.text) < 1_000


async def test_rich_text_that_is_wrong_is_described_as_briefly_as_anything(checks):
    where = f"body: {LIST} is not valid under any of the schemas listed in the 'oneOf' keyword (at /body)"
    with pytest.raises(SchemaViolationError) as refused:
        await check(checks, rich_text(), nested_text(1, leaf=5))
    assert refused.value.text == f"instance doesn't correspond to schema: {where}"
    with pytest.raises(SchemaViolationError, match=r"body: .* is not valid under any of .* 'oneOf' .*\(at /body\)"):
        await check(checks, rich_text(), nested_text(14, leaf=5))


async def test_a_verdict_stands_where_no_worker_can_say_what_is_wrong(checks, monkeypatch):
    async def refuse(*_):
        raise PoolBusyError

    monkeypatch.setattr(WorkerPool, "call", refuse)
    with pytest.raises(SchemaViolationError, match="takes too long to say where"):
        await check(checks, rich_text(), nested_text(14, leaf=5))


@pytest.mark.parametrize(("schema", "value"), NUMBERS.values(), ids=NUMBERS)
async def test_numbers_that_are_slow_to_compare_do_not_hold_the_loop(checks, schema, value):
    await checks.check_configs([CollectionConfig(THINGS, schema)])
    data = doc(x=value)
    with loop_stays_free(), suppress(SchemaCostError, SchemaViolationError):
        await check(checks, schema, data)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        pytest.param(UNIQUE, [number + 0.5 for number in range(2_000)], id="unique fractions"),
        pytest.param(items(minimum=0, maximum=1e9), [12.5] * 2_000, id="between integers"),
        pytest.param(items(multipleOf=0.01), [12.5] * 500, id="prices"),
        pytest.param(UNIQUE, [1_700_000_000_000_000_000 + number for number in range(50)], id="times in nanoseconds"),
    ],
)
async def test_usual_numbers_never_go_to_a_worker(checks, no_workers, schema, value):
    await check(checks, schema, json.dumps({"_id": "a", "x": value}, separators=(",", ":")).encode())


@pytest.mark.parametrize(
    "schema",
    [
        behind_a_name("$id"),
        behind_a_name("id", **{"$schema": "http://json-schema.org/draft-04/schema#"}),
        behind_a_name("$id", **{"$schema": "https://json-schema.org/draft/2020-12/schema"}),
    ],
)
def test_references_through_a_schema_with_a_uri_of_its_own_are_left_to_a_worker(schema):
    assert Schema.if_cheap(schema) is None


async def test_many_collections_of_one_call_are_checked_in_turns(checks):
    configs = [CollectionConfig(f"{THINGS}{number}", text(title=str(number))) for number in range(300)]
    turns = 0

    async def others():
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.create_task(others())
    await checks.check_configs(configs)
    task.cancel()
    assert turns > 10


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_worker_goes_on_when_all_processes_are_asked_to_stop(checks, stop):
    """A service manager signals workers, too: what they are at must not look as if the caller had ended them."""
    await checks.pool.call(schema_worker.GREETING)
    worker = checks.pool._idle[0].process
    checking = asyncio.create_task(check(checks, doubling(60), doc()))
    while checks.pool._idle:  # noqa: ASYNC110
        await asyncio.sleep(0)
    worker.send_signal(stop)
    with pytest.raises(SchemaCostError, match="takes too long"):
        await checking
    assert worker.returncode == -signal.SIGPROF


@pytest.mark.parametrize(("schema", "data"), TOO_COSTLY.values(), ids=TOO_COSTLY)
async def test_a_document_that_takes_too_long_is_refused_and_the_next_one_is_checked(checks, schema, data):
    await checks.check_configs([CollectionConfig(THINGS, schema)])
    with loop_stays_free(), pytest.raises(SchemaCostError, match="takes too long to check this document"):
        await check(checks, schema, data)
    with pytest.raises(SchemaViolationError, match=r"_id: 5 is not of type"):
        await check(checks, doubling(8), json.dumps({"_id": 5, "x": "y" * 20_000}).encode())


@pytest.mark.parametrize("schema", TOO_COSTLY_TO_COMPILE.values(), ids=TOO_COSTLY_TO_COMPILE)
async def test_a_schema_that_is_costly_to_compile_is_compiled_by_a_worker_or_refused(checks, schema):
    with loop_stays_free():
        with suppress(InvalidSchemaError):
            await checks.check_configs([CollectionConfig(THINGS, schema)])
        assert collection_of(schema).schema is None


async def test_what_is_no_schema_is_refused_whatever_its_size(checks):
    large = {**ID, **{f"f{n}": {"type": "string"} for n in range(2_000)}}
    for properties, error, paths in (
        ({**large, "x": {"type": "objekt"}}, InvalidSchemaError, ()),
        ({**large, "_id": {"type": "integer"}}, InvalidSchemaError, ()),
        (large, InvalidIndexError, ("nowhere",)),
        (large, InvalidIndexError, ("f1", "f1")),
    ):
        indexes = tuple(Index(path) for path in paths)
        with pytest.raises(error):
            await checks.check_configs([CollectionConfig(THINGS, text(properties=properties), indexes)])
    await checks.check_configs([CollectionConfig(THINGS, text(properties=large), (Index("f1"),))])


async def test_all_schemas_of_a_call_share_an_allowance(checks, monkeypatch):
    answers = [Answer(seconds=CONFIGS_SECONDS / 2)] * 2

    async def answer(*_):
        return answers.pop()

    monkeypatch.setattr(WorkerPool, "call", answer)
    with pytest.raises(InvalidSchemaError, match="all schemas"):
        await checks.check_configs([CollectionConfig(THINGS, doubling(60))] * 3)
    assert answers == []


async def test_a_long_path_cannot_be_indexed(checks):
    schema = text(properties={**ID, "a": {"$ref": "#"}, "b": {"type": "string"}})
    for depth, refused in ((499, False), (500, True)):
        config = CollectionConfig(THINGS, schema, (Index(".".join(["a"] * depth) + ".b"),))
        if refused:
            with pytest.raises(InvalidIndexError, match="1001 characters"):
                await checks.check_configs([config])
        else:
            await checks.check_configs([config])


async def test_a_large_schema_is_enforced_by_a_worker_with_the_time_of_the_change(checks):
    properties = {**ID, **{f"f{n}": {"type": "string"} for n in range(2_000)}, "_mod": {"maximum": 0}}
    with pytest.raises(SchemaViolationError, match=r"^instance doesn't correspond to schema: f1999: 5 is not of type"):
        await check(checks, text(properties=properties), doc(f1999=5))
    with pytest.raises(SchemaViolationError, match="_mod: 1 is greater than"):
        await check(checks, text(properties=properties), doc(f1999="x"))
    del properties["_mod"]
    await check(checks, text(properties=properties), doc(f1999="x"))


async def test_all_documents_of_a_transaction_share_an_allowance(checks, monkeypatch):
    answers = [Answer(seconds=TRANSACTION_SECONDS / 2)] * 2

    async def answer(_, request):
        return answers.pop()

    monkeypatch.setattr(WorkerPool, "call", answer)
    allowance = Allowance()
    for _ in range(2):
        await check(checks, doubling(60), doc(), allowance)
    with pytest.raises(SchemaCostError, match="together"):
        await check(checks, doubling(60), doc(), allowance)
    assert answers == []


async def test_without_a_free_worker_the_caller_is_told_to_try_again(checks, monkeypatch):
    async def refuse(*_):
        raise PoolBusyError

    monkeypatch.setattr(WorkerPool, "call", refuse)
    with pytest.raises(SchemaEngineError, match="try again"):
        await check(checks, doubling(60), doc())


async def test_a_call_waits_for_a_worker_only_so_long(monkeypatch):
    pool = WorkerPool("threadd.db.schema_worker", Answer, schema_worker.GREETING, 1, 60, wait_seconds=0.01)
    async with pool._places:
        with pytest.raises(PoolBusyError):
            await pool.call(schema_worker.GREETING)
    assert (await pool.call(schema_worker.GREETING)).outcome is Outcome.UNKNOWN_SCHEMA
    await pool.close()


@pytest.mark.parametrize("keyword", ["$dynamicRef", "unevaluatedProperties", "$anchor"])
def test_what_cannot_be_counted_is_left_to_a_worker(keyword):
    assert Schema.if_cheap(text(properties={**ID, "x": {keyword: "#a"}})) is None


# A schema of any shape: references to any of three definitions, alternatives, fields and items.
_leaves = st.sampled_from(
    [
        {},
        {"type": "string"},
        {"type": "object"},
        {"minimum": 3},
        {"enum": [1, "a", None]},
        {"minimum": 0.5},
        {"multipleOf": 0.1},
        {"const": {"a": 1}},
        {"maxLength": 1},
    ]
    + [{"$ref": f"#/definitions/{name}"} for name in "abc"]
)
_schemas = st.recursive(
    _leaves,
    lambda inner: (
        st.one_of(
            st.fixed_dictionaries({keyword: st.lists(inner, min_size=1, max_size=3)})
            for keyword in ("anyOf", "oneOf", "allOf")
        )
        | st.fixed_dictionaries(
            {},
            optional={
                "not": inner,
                "items": inner,
                "contains": inner,
                "additionalProperties": inner,
                "properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
                "required": st.lists(st.sampled_from("abc"), unique=True, max_size=1),
                "uniqueItems": st.just(value=True),
                "if": inner,
                "then": inner,
            },
        )
    ),
    max_leaves=8,
)
_values = st.recursive(
    st.none()
    | st.integers(0, 4)
    | st.sampled_from([0.5, 10**30, 10**30 + 1, 1e-300])
    | st.sampled_from(["", "a", "bc"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=10,
)


@settings(deadline=None, max_examples=300)
@given(definitions=st.fixed_dictionaries(dict.fromkeys("abc", _schemas)), rule=_schemas, value=_values)
def test_a_worker_comes_to_the_same_verdict_with_the_same_violations(definitions, rule, value):
    schema = text(properties={**ID, "x": rule}, definitions=definitions)
    data = doc(x=value)
    here, worker = Schema.if_cheap(schema), Checker()
    there = worker.answer(Request(b"k", schema, instance=data))
    assert here is not None
    assert (there.outcome is Outcome.FINE) == here.allows(documents.parse(data))
    if there.outcome is Outcome.VIOLATION:
        report = worker.answer(Request(b"k", instance=data, is_report=True))
        assert report.text == here.violation(documents.parse(data)).text
        assert report.text.startswith("instance doesn't correspond to schema: x")


@settings(deadline=None, max_examples=200)
@given(
    definitions=st.fixed_dictionaries(dict.fromkeys("abc", _schemas)),
    rule=_schemas,
    levels=st.lists(_values, max_size=40),
)
def test_what_is_checked_on_the_event_loop_is_checked_quickly(definitions, rule, levels):
    value = "end"
    for beside in levels:
        value = [value, beside] if isinstance(beside, list) else {"a": value, "b": beside}
    schema, data = Schema.if_cheap(text(properties={**ID, "x": rule}, definitions=definitions)), doc(x=value)
    if schema is not None and schema.cost.allows_check(data):
        with loop_stays_free():
            is_valid = schema.allows(documents.parse(data))
        if not is_valid and schema.cost.allows_report(data):
            with loop_stays_free():
                schema.violation(documents.parse(data))
