"""Decodes Google's serialized `cel.expr.CheckedExpr` into `core.evaluator.tree` nodes.

Field numbers are those of google/cel-spec, proto/cel/expr/checked.proto and syntax.proto. Only what a tree needs is
read: the expression and the source positions. Macros arrive expanded into comprehensions; `core.evaluator.macros`
recognises them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from core.errors import InvalidExpression
from core.evaluator import macros, tree
from core.evaluator.tokens import brief

Field = tuple[int, int | bytes]
_SIGN: Final = 1 << 63
_MODULUS: Final = 1 << 64


def decode(serialized: bytes) -> tree.Node:
    """The tree of a serialized expression.

    Arguments:
        serialized: a `google.protobuf.Any` that holds a CheckedExpr, as `Expression.serialize()` gives it.

    Raises:
        InvalidExpression: UNSUPPORTED_CONSTRUCT for struct literals and comprehensions that are no known macro.
        ValueError: the bytes are no such message (a fault, not the user's).
    """
    checked = _message(_only(serialized, 2))
    positions: dict[int, int] = {}
    root = b""
    for number, value in checked:
        if number == 4:
            root = _message_bytes(value)
        elif number == 5:
            positions = _positions(_message_bytes(value))
    return _Decoder(positions).node(root)


def _fields(data: bytes) -> Iterator[Field]:
    """The fields of a message in wire order: varints as unsigned ints, everything else as bytes."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        kind = key & 7
        value: int | bytes
        if kind == 0:
            value, at = _varint(data, at)
        elif kind == 1:
            value, at = data[at : at + 8], at + 8
        elif kind == 2:
            size, at = _varint(data, at)
            value, at = data[at : at + size], at + size
        elif kind == 5:
            value, at = data[at : at + 4], at + 4
        else:
            raise ValueError(f"wire type {kind} in a checked expression")
        if at > end:
            raise ValueError("a checked expression ends in the middle of a field")
        yield key >> 3, value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
        shift += 7


def _message(data: bytes) -> list[Field]:
    return list(_fields(data))


def _message_bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where a message is expected")
    return value


def _number(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise ValueError("a message where a number is expected")
    return value


def _text(value: int | bytes) -> str:
    return _message_bytes(value).decode()


def _only(data: bytes, wanted: int) -> bytes:
    for number, value in _fields(data):
        if number == wanted:
            return _message_bytes(value)
    raise ValueError(f"no field {wanted} in a checked expression")


def _signed(value: int) -> int:
    return value - _MODULUS if value >= _SIGN else value


def _positions(source_info: bytes) -> dict[int, int]:
    found: dict[int, int] = {}
    for number, value in _fields(source_info):
        if number == 4:
            entry = {key: _number(part) for key, part in _fields(_message_bytes(value))}
            found[entry.get(1, 0)] = _signed(entry.get(2, 0))
    return found


class _Decoder:
    """Turns Expr messages into nodes. Google's parser bounds their nesting, see `core.evaluator.checker`."""

    def __init__(self, positions: dict[int, int]) -> None:
        self._positions = positions

    def node(self, data: bytes) -> tree.Node:
        position = -1
        kind, body = 0, b""
        for number, value in _fields(data):
            if number == 2:
                position = self._positions.get(_number(value), -1)
            elif 3 <= number <= 9:
                kind, body = number, _message_bytes(value)
        if kind == 3:
            return _constant(body, position)
        if kind == 4:
            return tree.Ident(position, _text(_only(body, 1)).removeprefix("."))
        if kind == 5:
            return self._select(body, position)
        if kind == 6:
            return self._call(body, position)
        if kind == 7:
            elements = [_message_bytes(value) for number, value in _fields(body) if number == 1]
            return tree.ListOf(position, tuple(self.node(element) for element in elements))
        if kind == 8:
            return self._struct(body, position)
        if kind == 9:
            return self._comprehension(body, position)
        raise ValueError(f"expression kind {kind}")

    def _select(self, body: bytes, position: int) -> tree.Node:
        parts = dict(_fields(body))
        operand, field = self.node(_message_bytes(parts[1])), _text(parts[2])
        if parts.get(3):
            return tree.Has(position, operand, field)
        return tree.Select(position, operand, field)

    def _call(self, body: bytes, position: int) -> tree.Node:
        target: list[tree.Node] = []
        args: list[tree.Node] = []
        function = ""
        for number, value in _fields(body):
            if number == 1:
                target.append(self.node(_message_bytes(value)))
            elif number == 2:
                function = _text(value)
            elif number == 3:
                args.append(self.node(_message_bytes(value)))
        return tree.Call(position, function, (*target, *args))

    def _struct(self, body: bytes, position: int) -> tree.Node:
        entries: list[tuple[tree.Node, tree.Node]] = []
        for number, value in _fields(body):
            if number == 1:
                raise InvalidExpression(
                    f"{brief(_text(value))}{{…}} is not supported",
                    position=position,
                    mend='use timestamp("…"), duration("…") or a map such as {"a": 1}',
                    code="UNSUPPORTED_CONSTRUCT",
                )
            if number == 2:
                parts = dict(_fields(_message_bytes(value)))
                entries.append((self.node(_message_bytes(parts[3])), self.node(_message_bytes(parts[4]))))
        return tree.MapOf(position, tuple(entries))

    def _comprehension(self, body: bytes, position: int) -> tree.Node:
        parts = dict(_fields(body))
        if 8 in parts:
            raise InvalidExpression(
                "macros over two variables are not supported",
                position=position,
                mend="name one variable: list.exists(e, condition)",
                code="UNSUPPORTED_CONSTRUCT",
            )
        shape = macros.Comprehension(
            position=position,
            variable=_text(parts[1]),
            range=self.node(_message_bytes(parts[2])),
            accumulator=_text(parts[3]),
            start=self.node(_message_bytes(parts[4])),
            step=self.node(_message_bytes(parts[6])),
            result=self.node(_message_bytes(parts[7])),
        )
        return macros.recognise(shape)


def _constant(body: bytes, position: int) -> tree.Const:
    ((number, value),) = _fields(body)
    if number == 1:
        return tree.Const(position, None)
    if number == 2:
        return tree.Const(position, bool(value))
    if number == 3:
        return tree.Const(position, _signed(_number(value)))
    if number == 4:
        return tree.Const(position, _number(value), unsigned=True)
    if number == 5:
        real: float = struct.unpack("<d", _message_bytes(value))[0]
        return tree.Const(position, real)
    if number == 6:
        return tree.Const(position, _text(value))
    if number == 7:
        return tree.Const(position, _message_bytes(value))
    raise ValueError(f"constant kind {number}")
