"""Generated targeting expressions and rows that cover every operator and pair of types.

Properties are named for the type that they usually have (`user.i1` an int, `user.t2` a timestamp), so that most
expressions make sense for most rows; in each row some are missing and some have another type.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from core.values import MICROS_PER_DAY, MICROS_PER_SECOND, from_micros

Draw = Callable[[st.SearchStrategy[Any]], Any]
UserRow = tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]
Case = tuple[str, list[UserRow], int]

NOW = 1_710_000_000 * MICROS_PER_SECOND  # 2024-03-09T16:00:00Z
TYPES = ("i", "d", "s", "b", "t", "n", "l", "m")
"""int, double, string, bool, timestamp, null, list and map."""
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "+05:30", "-02:00")
GETTERS = (
    "getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getHours", "getMinutes",
    "getSeconds", "getMilliseconds",
)  # fmt: skip
COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
ARITHMETIC = ("+", "-", "*", "/", "%")
LENGTHS = ("0s", "1s", "1h", "24h", "36h", "1.5s")
_INTS = (-(2**63), -7, -1, 0, 1, 2, 3, 10, 100, 2**53 + 1, 2**63 - 1)
_DOUBLES = (-1.5, -1.0, 0.0, 0.5, 1.0, 2.0, 2.5, 3.0, 1e300)
_TEXTS = ("", "a", "b", "ab", "é", "😀", "free", "10", "1.5", "true", "2024-03-08T12:00:00Z", "Europe/Berlin", "1h")
_PATTERNS = ("a", "^a", "b$", "^.$", "[0-9]+", "é")
_STEPS = tuple(seconds * MICROS_PER_SECOND for seconds in (0, 1, 3600, 86_400, 129_600, 40 * 86_400))

_now = st.sampled_from([NOW, NOW + 1, NOW + 3 * MICROS_PER_DAY])
_times = st.sampled_from([NOW - step + slack for step in _STEPS for slack in (-1, 0, 1)]).map(from_micros)
_plain: dict[str, st.SearchStrategy[Any]] = {
    "i": st.sampled_from(_INTS[2:9]) | st.sampled_from(_INTS),
    "d": st.sampled_from(_DOUBLES),
    "s": st.sampled_from(_TEXTS),
    "b": st.booleans(),
    "t": _times,
    "n": st.none(),
}
_items = st.one_of(
    st.lists(st.sampled_from(_INTS[2:9]), max_size=4),
    st.lists(_plain["d"], max_size=3),
    st.lists(_plain["s"], max_size=3),
    st.lists(st.one_of(*_plain.values()), max_size=3),
)
_one_item = st.sampled_from([["vip"], ["a"], [1], [0.5], [True], [None], [[1]], [{"a": 1}], [[]]])
"""Lists of one element: a block of users who share one unfolds to a single row."""
_maps = st.fixed_dictionaries({}, optional={"k": _plain["i"], "j": _plain["s"], "z": st.one_of(*_plain.values())})
VALUES: dict[str, st.SearchStrategy[Any]] = {**_plain, "l": _items | _one_item, "m": _maps}
_any_value = st.one_of(*VALUES.values())
_ABSENT = object()


def _usually(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The strategy, but in one of ten cases nothing and in one of twenty something of any type."""
    return st.integers(0, 19).flatmap(
        lambda roll: st.just(_ABSENT) if roll < 2 else _any_value if roll == 2 else strategy
    )


def _present(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not _ABSENT}


users = st.fixed_dictionaries({f"{kind}{place}": _usually(VALUES[kind]) for kind in TYPES for place in (1, 2)}).map(
    _present
)


@st.composite
def rows(draw: Draw, now: int, *, future: bool = False) -> UserRow:
    """One user: properties, and events "A" and "B" ordered by time, none later than `now` unless `future`."""
    latest = now + (MICROS_PER_DAY if future else 0)
    events: dict[str, list[dict[str, Any]]] = {}
    for name in ("A", "B"):
        times = draw(
            st.lists(st.sampled_from([latest - step - slack for step in _STEPS for slack in (0, 1)]), max_size=4)
        )
        made = []
        for time in sorted(times):
            event = _present(draw(st.fixed_dictionaries({kind: _usually(VALUES[kind]) for kind in "idsbl"})))
            made.append({**event, "time": from_micros(time)})
        if made:
            events[name] = made
    return draw(users), events


@st.composite
def few_values(draw: Draw, of: list[UserRow]) -> list[UserRow]:
    """The same rows with as little in them as makes a vector of one row: all lists one list, or a single event at all."""
    made = draw(st.sampled_from(["as they are", "one list", "one event", "both", "nobody else"]))
    listed = draw(_one_item)
    spared = draw(st.integers(0, len(of) - 1))
    few: list[UserRow] = []
    for place, (user, events) in enumerate(of):
        if made in ("one list", "both"):
            user = {name: listed if name.startswith("l") else value for name, value in user.items()}
        if made in ("one event", "both"):
            events = {name: events[name][:1] for name in sorted(events)[:1] if place == spared}
        few.append(({}, {}) if made == "nobody else" and place != spared else (user, events))
    return few


def visible(events: dict[str, list[dict[str, Any]]], now: int) -> dict[str, list[dict[str, Any]]]:
    """The events that are not later than `now`."""
    instant = from_micros(now)
    return {name: [event for event in listed if event["time"] <= instant] for name, listed in events.items()}


class _Writer:
    """Writes expressions of a wanted type. `names` maps a type to the terms of that type which are in scope."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self._scope: dict[str, list[str]] = {kind: [f"user.{kind}1", f"user.{kind}2"] for kind in TYPES}
        self._variables = 0

    def pick(self, *options: Any) -> Any:
        return self._draw(st.sampled_from(options))

    def chance(self, of: int) -> bool:
        return bool(self._draw(st.integers(0, of - 1)) == of - 1)

    def term(self, kind: str) -> str:
        return str(self._draw(st.sampled_from(self._scope[kind])))

    def literal(self, kind: str) -> str:
        match kind:
            case "i":
                return str(self.pick(*_INTS[2:9]))
            case "d":
                return repr(self.pick(*_DOUBLES))
            case "s":
                return f'"{self.pick(*_TEXTS)}"'
            case "b":
                return str(self.pick("true", "false"))
            case "t":
                return (
                    f'timestamp("{self.pick("2024-03-08T12:00:00Z", "2024-01-31T23:30:00Z", "2020-02-29T00:00:00Z")}")'
                )
            case "l":
                return str(
                    self.pick("[]", "[1, 2]", '["a", "b"]', "[1, 2.5]", '[null, "a", 3]', "[true]", "[[1], [1]]")
                )
            case "m":
                return str(self.pick("{}", '{"k": 1}', '{"k": 1.0, "j": "a"}', '{"z": [1]}'))
        return "null"

    def any(self) -> str:
        if self.chance(8):
            return str(
                self.pick(
                    "dyn(2u)", 'dyn(b"a")', 'dyn(duration("1h"))', "dyn(type(1))", f"dyn(bytes({self.term('s')}))"
                )
            )
        kind = self.pick(*TYPES)
        return self.term(kind) if self.chance(2) else f"dyn({self.literal(kind)})"

    def length(self) -> str:
        if self.chance(4):
            return f"({self.term('t')} - {self.term('t')})"
        return f'duration("{self.pick(*LENGTHS)}")'

    def value(self, kind: str, depth: int) -> str:
        """An expression of a type, through dyn() where the checker could find two static types at odds."""
        if depth <= 0 or self.chance(3):
            return self.term(kind) if self.chance(2) else f"dyn({self.literal(kind)})"
        below = depth - 1
        match kind:
            case "i":
                return str(self.pick(self._int_sum, self._size, self._getter, self._int_made)(below))
            case "d":
                made = self.pick("arithmetic", "convert")
                if made == "arithmetic":
                    return f"({self.value('d', below)} {self.pick('+', '-', '*', '/')} {self.value('d', below)})"
                return f"dyn(double({self.pick(self.term('i'), self.term('s'), self.term('d'))}))"
            case "s":
                if self.chance(2):
                    return f"({self.value('s', below)} + {self.value('s', below)})"
                return f"string({self.value(self.pick('i', 'd', 'b', 't', 's'), below)})"
            case "b":
                return f"dyn({self.condition(below)})"
            case "t":
                made = self.pick("now", "moved", "converted")
                if made == "now":
                    return "now"
                if made == "converted":
                    return f"timestamp({self.pick(self.term('s'), self.term('t'), '1710000000')})"
                return f"({self.value('t', below)} {self.pick('+', '-')} {self.length()})"
            case "l":
                return self._list(below)
            case "m":
                return f'dyn({{"k": {self.value("i", below)}}})'
        return "dyn(null)"

    def _int_sum(self, depth: int) -> str:
        return f"({self.value('i', depth)} {self.pick(*ARITHMETIC)} {self.value('i', depth)})"

    def _size(self, depth: int) -> str:
        value = self.value(self.pick("s", "l", "l", "m"), depth)
        return f"dyn(size({value}))" if self.chance(2) else f"dyn({value}.size())"

    def _getter(self, depth: int) -> str:
        zone = f'"{self.pick(*ZONES)}"' if self.chance(2) else ""
        return f"dyn({self.value('t', depth)}.{self.pick(*GETTERS)}({zone}))"

    def _int_made(self, depth: int) -> str:
        made = self.pick("convert", "minus", "aggregate", "index", "field", "choice", "length", "unsigned")
        if made == "unsigned":
            return f"dyn(int(uint({self.term(self.pick('i', 'i', 'd', 's'))})))"
        if made == "convert":
            return f"dyn(int({self.term(self.pick('i', 'd', 's', 't'))}))"
        if made == "minus":
            return f"(-{self.term(self.pick('i', 'd'))})"
        if made == "aggregate":
            return str(self.pick("{1}({0})", "{0}.{1}()")).format(
                f"dyn([1, 2, {self.term('i')}])", self.pick("sum", "min", "max")
            )
        if made == "index":
            return f"{self.term('l')}[{self.pick(0, 1)}]"
        if made == "field":
            return str(self.pick("{}.k", '{}["k"]')).format(self.term("m"))
        if made == "length":
            return f"dyn({self.length()}.{self.pick(*GETTERS[6:])}())"
        return f"({self.condition(depth)} ? {self.value('i', depth)} : {self.value('i', depth)})"

    def _list(self, depth: int) -> str:
        made = self.pick("filter", "map", "map3", "added", "written")
        if made == "written":
            return f"dyn([{self.value('i', depth)}, {self.value('s', depth)}])"
        if made == "added":
            return f"({self.value('l', depth)} + {self.value('l', depth)})"
        source = self.value("l", depth)
        with_variable = self._bind(self.pick("i", "d", "s"))
        try:
            body = self.condition(depth)
            if made == "filter":
                return f"dyn({source}.filter({with_variable}, {body}))"
            made_of = self.value("i", depth)
            middle = f"{body}, " if made == "map3" else ""
            return f"dyn({source}.map({with_variable}, {middle}{made_of}))"
        finally:
            self._unbind(with_variable)

    def _bind(self, kind: str) -> str:
        self._variables += 1
        name = f"v{self._variables}"
        self._scope[kind] = [*self._scope[kind], name, name]
        return name

    def _unbind(self, name: str) -> None:
        for kind in TYPES:
            self._scope[kind] = [term for term in self._scope[kind] if name not in term.split(".")]

    def condition(self, depth: int) -> str:
        """An expression that gives a bool where its operands are what they usually are."""
        if depth > 0 and self.chance(2):
            below = depth - 1
            made = self.pick("and", "or", "not", "choice")
            if made == "not":
                return f"!({self.condition(below)})"
            if made == "choice":
                return f"({self.condition(below)} ? {self.condition(below)} : {self.condition(below)})"
            sign = "&&" if made == "and" else "||"
            return f"({self.condition(below)} {sign} {self.condition(below)})"
        leaf = self.pick(
            self._compared, self._compared, self._compared, self._clash, self._has, self._in, self._text, self._macro,
            self._events, self._events, self._events, self._flag, self._typed, self._element, self._whole_events, self._joined,
        )  # fmt: skip
        return str(leaf(depth))

    def _compared(self, depth: int) -> str:
        kind = self.pick("i", "d", "s", "t", "b", "number", "length")
        if kind == "length":
            return f"{self.length()} {self.pick(*COMPARISONS)} {self.length()}"
        if kind == "number":
            return f"{self.value('i', depth)} {self.pick(*COMPARISONS)} {self.value('d', depth)}"
        return f"{self.value(kind, depth)} {self.pick(*COMPARISONS)} {self.value(kind, depth)}"

    def _clash(self, depth: int) -> str:
        """Any operator on any pair of types."""
        left, right = self.any(), self.any()
        if self.chance(3):
            return f"{left} {self.pick(*COMPARISONS)} {right}"
        if self.chance(3):
            return f"({left} {self.pick(*ARITHMETIC)} {right}) {self.pick('==', '!=')} {self.any()}"
        forms = ("{0} in {1}", "{0} && {1}", "{0} || {1}", "{0}[{1}] == {0}", "{0} == {1}", "{0} != {1}")
        return str(self.pick(*forms)).format(left, right)

    def _has(self, depth: int) -> str:
        kind = self.pick(*TYPES)
        return str(self.pick(f"has(user.{kind}1)", f"has({self.term('m')}.k)", f'"{kind}2" in user', "has(user.none)"))

    def _in(self, depth: int) -> str:
        made = self.pick("list", "literal", "map")
        if made == "list":
            return f"{self.value(self.pick('i', 's', 'd'), depth)} in {self.value('l', depth)}"
        if made == "map":
            return f"{self.value('s', depth)} in {self.value('m', depth)}"
        kind = self.pick("i", "s", "d")
        return f"{self.term(kind)} in [{self.literal(kind)}, {self.literal(kind)}]"

    def _text(self, depth: int) -> str:
        target = self.value("s", depth)
        if self.chance(4):
            return f'{target}.matches("{self.pick(*_PATTERNS)}")'
        return f"{target}.{self.pick('contains', 'startsWith', 'endsWith')}({self.value('s', depth)})"

    def _macro(self, depth: int) -> str:
        source = self.value(self.pick("l", "l", "m"), depth)
        name = self._bind(self.pick("i", "d", "s"))
        try:
            return f"{source}.{self.pick('exists', 'all', 'exists_one')}({name}, {self.condition(depth - 1)})"
        finally:
            self._unbind(name)

    def _events(self, depth: int) -> str:
        source = self.pick('events["A"]', 'events["B"]', "events.A")
        if self.chance(4):
            return f"{source}.size() {self.pick(*COMPARISONS)} {self.pick(0, 1, 2)}"
        self._variables += 1
        name = f"e{self._variables}"
        saved = self._scope
        self._scope = {kind: [*terms] for kind, terms in saved.items()}
        for kind in "idsb":
            self._scope[kind] += [f"{name}.{kind}"] * 2
        self._scope["t"] += [f"{name}.time"] * 4
        try:
            body = self.condition(min(depth, 1)) if self.chance(2) else f"{name}.time > now - {self.length()}"
            if self.chance(3):
                body = f"has({name}.i) && {body}"
            if self.chance(2):
                return f"{source}.{self.pick('exists', 'all', 'exists_one')}({name}, {body})"
            filtered = f"{source}.filter({name}, {body})"
            if self.chance(6):
                kind = self.pick("i", "d")
                chosen = f"{body}, " if self.chance(2) else ""
                summed = f"{source}.map({name}, {chosen}{name}.{kind}).sum()"
                return f"{summed} {self.pick(*COMPARISONS)} {self.literal(kind)}"
            if self.chance(3):
                aggregate = self.pick("sum", "min", "max")
                return f"{filtered}.map({name}, {name}.{self.pick('i', 'd')}).{aggregate}() {self.pick(*COMPARISONS)} {self.literal('i')}"
            return f"{filtered}.size() {self.pick(*COMPARISONS)} {self.pick(0, 1, 2)}"
        finally:
            self._scope = saved

    def _element(self, depth: int) -> str:
        """An element of a list by its place, as it is or inside a macro."""
        element = f"{self.term('l')}[{self.pick(0, 0, 0, 1)}]"
        plain = f"{element} {self.pick('==', '==', '!=', '<')} {self.pick(self.any(), element)}"
        name = self._bind("i")
        try:
            forms = ("{1}.exists({0}, {0} == {2})", "{1}.all({0}, {0} != {2})", "{1}.map({0}, {2}) == {1}",
                     "{1}.filter({0}, {3}).size() == 1", 'events["A"].exists({0}, {0}.i == {2})')  # fmt: skip
            return str(self.pick(plain, self.pick(*forms).format(name, self.term("l"), element, plain)))
        finally:
            self._unbind(name)

    def _whole_events(self, depth: int) -> str:
        """Events as values: compared, looked for, taken out."""
        events = self.pick('events["A"]', 'events["B"]')
        other = self.pick(events, 'events["A"]', self.term("l"), "[{}]", "dyn([])", f"{events}.filter(x, x.i == 1)")
        forms = ("{0} == {1}", "{0} != {1}", "{0}[0] == {1}[0]", "{0}[0].i == {2}", "{0}.exists(x, x in {1})",
                 "{0}.all(x, x != {2})", "{0}.exists(x, {1}.exists(y, y == x))", "{0}.map(x, x) == {1}",
                 "type({0}[0]) == map")  # fmt: skip
        return str(self.pick(*forms)).format(events, other, self.any())

    def _joined(self, depth: int) -> str:
        """Macros inside macros, over the same lists or the elements' own."""
        forms = ("{0}.exists(x, {1}.exists(y, x == y))", "{0}.all(x, {1}.exists(y, x != y))",
                 "{0}.map(x, {1}.filter(y, x == y)).size() == {1}.size()", "{0}.exists(x, x.exists(y, y == {2}))",
                 "{0}.map(x, {1}.map(y, [x, y])) == {0}.map(y, {1}.map(x, [y, x]))",
                 'events["A"].exists(x, {0}.exists(y, x.i == y))', 'events["A"].exists(x, x.l.exists(y, y in {1}))',
                 'events["A"].exists(x, events["A"].exists(y, y == x.l))', 'events["A"].exists(x, events["B"].all(y, y.time < x.time))',
                 'events["B"].filter(x, x.time > now - duration("36h") && x.l.all(y, y != x.s)).size() > 0',
                 '{0}.exists(x, events["A"].exists(y, y.time > now - duration("36h") && y.i == x))',
                 'events["A"].filter(x, has(x.l)).map(x, x.l.filter(y, y == x.i).size()).sum() > 1',
                 'events["A"].map(x, x.time < now, size(x.l.map(y, [y, x.i]))).sum() > 1',
                 'events["A"].exists(x, x.s + x.s == "abab")', "{0}.map(x, x + x) == {1}.map(x, x + x)",
                 "{0}.map(x, {1} + [x]).exists(x, x == {1})", '{0}.all(x, {{"k": x, "j": 1}}.k == x)',
                 "{0}.exists(x, {1}.exists(y, {0}.exists(z, z == x && z == y)))")  # fmt: skip
        return str(self.pick(*forms)).format(self.term("l"), self.term("l"), self.any())

    def _flag(self, depth: int) -> str:
        return str(self.pick(self.term("b"), "true", "false", f"bool({self.term('b')})"))

    def _typed(self, depth: int) -> str:
        kind = self.pick("int", "double", "string", "bool", "null_type", "list", "map", "google.protobuf.Timestamp")
        return f"type({self.term(self.pick(*TYPES))}) {self.pick('==', '!=')} {kind}"


@st.composite
def expressions(draw: Draw, depth: int = 2) -> str:
    """A targeting expression that Google's compiler takes."""
    return _Writer(draw).condition(depth)


@st.composite
def cases(draw: Draw, *, depth: int = 2, future: bool = False) -> Case:
    """An expression, rows as (properties, events by name), and `now` in micros UTC.

    Arguments:
        depth: how deep the expression nests.
        future: whether some events are later than `now`; then `visible` says which count.
    """
    now = draw(_now)
    made = draw(st.lists(rows(now, future=future), min_size=1, max_size=4))
    return draw(expressions(depth)), draw(few_values(made)), now
