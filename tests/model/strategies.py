"""What a client may send, made up by hypothesis: instances of every kind, queries, configurations, listen filters."""

from hypothesis import strategies as st
from model.model import Broken, Config, Index, Written

NAMES = ["things", "Other-2"]
"""Collections that come and go."""

IDS = ["a", "b", "c", "B", "a/b", "é", "\uff41", "\U0001f600", "a\0b", "\0" * 200, "x" * 400]
ABSENT_IDS = ["", "nobody", "y" * 401]

LONG = ["x" * 47, "x" * 48, "x" * 48 + "a", "x" * 48 + "b", "x" * 100, "x" * 300, "x" * 300 + "a", "x" * 300 + "b"]
STRINGS = ["", "a", "b", "ab", "a\0", "\0", "é", "\uff41", "\U0001f600", "<&>\u2028", *LONG, *LONG]
INTEGERS = [0, 1, -1, 2, 1000, 2**53, 2**53 + 1, 2**63, -(2**64), 10**40]
WRITTEN = [Written(text) for text in ["1.0", "1e3", "-0.0", "-0", "1.50", "0.1", "1E300", "-1e300", "5e-324"]]
NUMBERS = [*INTEGERS, *WRITTEN]

strings = st.sampled_from(STRINGS)
numbers = st.sampled_from(NUMBERS)
scalars = st.none() | st.booleans() | numbers | strings
values = scalars | st.sampled_from(
    [
        [],
        [1],
        ["a"],
        [None],
        [2**63],
        [{"s": None, "n": Written("1.5")}],
        {},
        {"s": "a"},
        {"s": None},
        {"x": {"y": None}},
    ],
)

PATHS = ["s", "n", "b", "o.s"]
QUERY_PATHS = [*PATHS * 3, "_id", "_mod", "o", "o.x.y", "nowhere"]

LOOSE = {"properties": {"_id": {"type": "string"}}}
TYPED = {
    "properties": {
        "_id": {"type": "string"},
        "s": {"type": "string"},
        "n": {"type": "number"},
        "b": {"type": "boolean"},
        "o": {"properties": {"s": {"type": "string"}}},
    },
}
STRICT = {**TYPED, "type": "object", "required": ["_id", "s"]}

typed = st.fixed_dictionaries(
    {},
    optional={
        "s": strings,
        "n": numbers,
        "b": st.booleans(),
        "o": st.fixed_dictionaries({}, optional={"s": strings, "x": values}),
    },
)
mixed = st.fixed_dictionaries(
    {},
    optional={
        "s": values,
        "n": values,
        "b": values,
        "o": values | st.fixed_dictionaries({}, optional={"s": values, "x": values}),
        "_mod": values,
    },
)
contents = st.integers(0, 3).flatmap(lambda dice: typed if dice else mixed)

broken = st.sampled_from(
    [
        Broken("", "not JSON: Expecting value at character 0"),
        Broken("{", "not JSON: Expecting property name enclosed in double quotes at character 1"),
        Broken("null", "an instance is a JSON object, not null"),
        Broken('[{"_id":"a"}]', "an instance is a JSON object, not an array"),
        Broken('{"_id":{}}', "_id is a string, not an object"),
        Broken('{"n":1e400}', "number 1e400 is out of range: its magnitude must be below 1.8e308"),
        Broken('{"n":NaN}', "NaN is not a JSON value"),
    ],
)


@st.composite
def _instance(draw):
    """An instance, or now and then what is none."""
    dice = draw(st.integers(0, 19))
    if dice == 19:
        return draw(broken)
    content = draw(contents)
    if dice < 16:
        content["_id"] = draw(ids)
    elif dice < 19:
        content |= draw(
            st.sampled_from([{}, {"_id": None}, {"_id": ""}, {"_id": 5}, {"_id": "y" * 401}, {"_id": "\0" * 201}])
        )
    return content


ids = st.sampled_from([*IDS, *IDS[:3] * 4])
instances = st.lists(_instance(), min_size=1, max_size=4)
some_ids = st.lists(st.sampled_from([*IDS, *IDS[:3] * 3, *ABSENT_IDS]), max_size=3)

criteria = st.builds(
    lambda path, operation, value: {"fieldPath": path, "operation": operation, "value": value},
    st.sampled_from(QUERY_PATHS),
    st.integers(0, 5),
    st.builds(lambda value: {"string": value}, st.sampled_from([*STRINGS, *IDS]))
    | st.builds(lambda value: {"bool": value}, st.booleans())
    | st.builds(lambda value: {"float": value}, numbers),
)


@st.composite
def _conditions(draw, depth=2):
    """Criteria and alternatives to them, which may have alternatives themselves."""
    query = {}
    if draw(st.booleans()):
        query["ands"] = draw(st.lists(criteria, max_size=2))
    if depth and draw(st.integers(0, 2)) == 2:
        query["ors"] = draw(st.lists(_conditions(depth - 1), min_size=1, max_size=2))
    return query


_sorts = st.fixed_dictionaries({"fieldPath": st.sampled_from(QUERY_PATHS)}, optional={"desc": st.booleans()})
_rest = st.fixed_dictionaries(
    {},
    optional={
        "sort": _sorts,
        "limit": st.integers(-1, 5) | st.just(2**63 - 1),
        "skip": st.integers(-1, 3) | st.just(2**63 - 1),
        "seek": st.sampled_from(["", "b", *IDS, "zz"]),
        "index": st.sampled_from([*PATHS, "nowhere"]),
    },
)
_first_by_a_field = st.fixed_dictionaries(
    {
        "sort": st.fixed_dictionaries({"fieldPath": st.sampled_from(PATHS)}, optional={"desc": st.booleans()}),
        "limit": st.integers(1, 30),
    },
)


@st.composite
def good_queries(draw):
    if draw(st.integers(0, 3)) == 3:
        return draw(_first_by_a_field)
    return draw(_conditions()) | draw(_rest)


bad_queries = st.sampled_from(
    [
        Broken("[]", "invalid query: query is a JSON object, not an array"),
        Broken(
            '{"ands":[{"fieldPath":"n","operation":9,"value":{"float":1}}]}',
            "invalid query: query.ands[0].operation is 9: use 0 (eq), 1 (ne), 2 (gt), 3 (lt), 4 (ge) or 5 (le)",
        ),
        Broken(
            '{"ors":[{"ands":[{"fieldPath":"n","operation":0,"value":{}}]}]}',
            "invalid query: query.ors[0].ands[0].value: "
            "value type should describe exactly one type: string, bool or float",
        ),
        Broken('{"ands":[null]}', "invalid query: query.ands[0] is a JSON object, not null"),
    ],
)


@st.composite
def _any_query(draw):
    return draw(good_queries() if draw(st.integers(0, 14)) else bad_queries)


queries = _any_query()

indexes = st.lists(
    st.builds(Index, st.sampled_from(PATHS), st.booleans()),
    max_size=3,
    unique_by=lambda index: index.path,
)
_odd_indexes = st.lists(st.builds(Index, st.sampled_from([*PATHS, "_id", "o", "nowhere"])), min_size=1, max_size=3)

names = st.sampled_from(NAMES)


@st.composite
def configs(draw, among=names):
    """A configuration of a collection of one of these names; seldom it is refused."""
    name = draw(among)
    dice = draw(st.integers(0, 11))
    if dice == 11:
        return Config(name, draw(st.sampled_from([LOOSE, TYPED])), tuple(draw(_odd_indexes)))
    if dice > 6:
        return Config(name, LOOSE)
    return Config(name, STRICT if dice == 6 else TYPED, tuple(draw(indexes)))


first_configs = st.tuples(*(configs(st.just(name)) for name in NAMES))

listen_filters = st.lists(
    st.tuples(st.sampled_from(["", *NAMES]), st.sampled_from(["", "", *IDS[:3]]), st.integers(0, 3)),
    max_size=2,
)

WRITES = {"Create": instances, "Save": instances, "Verify": instances, "Delete": some_ids}
READS = {"Has": some_ids, "Find": queries, "FindByID": st.sampled_from([*IDS, *ABSENT_IDS])}


@st.composite
def _operation(draw, arguments):
    """The name of a method and its argument."""
    method = draw(st.sampled_from(sorted(arguments)))
    return method, draw(arguments[method])


operations = _operation(WRITES | READS)
reads = _operation(READS)


def _with(method, argument):
    """The same instances as an argument of another method that writes."""
    if method == "Delete":
        return [one if isinstance(one, str) else one["_id"] for one in argument]
    return [{"_id": one} if isinstance(one, str) else one for one in argument]


def _can_be_named(one):
    return isinstance(one, str) or (isinstance(one, dict) and isinstance(one.get("_id"), str))


@st.composite
def transactions(draw):
    """Operations of a transaction, of which many write what the one before wrote."""
    result = []
    for _ in range(draw(st.integers(0, 6))):
        method, argument = result[-1] if result else ("", [])
        if method in WRITES and all(map(_can_be_named, argument)) and draw(st.booleans()):
            method = draw(st.sampled_from(sorted(WRITES)))
            result.append((method, _with(method, argument)))
        else:
            result.append(draw(operations))
    return result
