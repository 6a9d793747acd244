"""Promise: the protocol follows buf's STANDARD lint rules, and AIP's field names where they apply.

buf itself is no Python package; these are its rules, by their names, over the descriptors and the sources.
"""

from __future__ import annotations

import importlib
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FileDescriptor

ROOT: Final = Path(__file__).parents[2] / "proto"
SOURCES: Final = sorted(ROOT.rglob("*.proto"))
PACKAGE: Final = "muster.v1"
PASCAL: Final = re.compile(r"[A-Z][a-z0-9]*([A-Z][a-z0-9]*)*\Z")
SNAKE: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*\Z")
UPPER_SNAKE: Final = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*\Z")


def file_of(path: Path) -> FileDescriptor:
    """The descriptor of a source, from its generated stub."""
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts) + "_pb2"
    found: FileDescriptor = importlib.import_module(module).DESCRIPTOR
    return found


FILES: Final = [file_of(path) for path in SOURCES]


def messages() -> Iterator[Descriptor]:
    """Every message, nested ones included, map entries left out."""

    def below(message: Descriptor) -> Iterator[Descriptor]:
        yield message
        for nested in message.nested_types:
            if not nested.GetOptions().map_entry:
                yield from below(nested)

    for file in FILES:
        for message in file.message_types_by_name.values():
            yield from below(message)


def enums() -> Iterator[EnumDescriptor]:
    """Every enum."""
    for file in FILES:
        yield from file.enum_types_by_name.values()
    for message in messages():
        yield from message.enum_types


def services() -> Iterator[Any]:
    """Every service."""
    for file in FILES:
        yield from file.services_by_name.values()


def methods() -> list[Any]:
    """Every method of every service."""
    return [method for service in services() for method in service.methods]


def upper_snake(name: str) -> str:
    """The prefix that a PascalCase enum's values carry."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper() + "_"


def test_there_is_something_to_check() -> None:
    assert len(SOURCES) >= 7
    assert len(methods()) >= 30


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_files(path: Path) -> None:
    """FILE_LOWER_SNAKE_CASE, PACKAGE_DIRECTORY_MATCH, PACKAGE_VERSION_SUFFIX, PACKAGE_LOWER_SNAKE_CASE."""
    assert SNAKE.match(path.stem)
    package = file_of(path).package
    assert package == PACKAGE
    assert path.relative_to(ROOT).parent == Path(*package.split("."))
    assert re.search(r"\.v\d+\Z", package)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_imports(path: Path) -> None:
    """IMPORT_NO_PUBLIC, IMPORT_NO_WEAK, IMPORT_USED."""
    text = path.read_text("utf-8")
    assert not re.search(r"^import (public|weak)", text, re.MULTILINE)
    used = {
        field.message_type.file.name for message in file_of(path).message_types_by_name.values()
        for field in _all_fields(message) if field.message_type
    } | {
        field.enum_type.file.name for message in file_of(path).message_types_by_name.values()
        for field in _all_fields(message) if field.enum_type
    }  # fmt: skip
    assert set(re.findall(r'^import "([^"]+)";', text, re.MULTILINE)) <= used


def _all_fields(message: Descriptor) -> Iterator[Any]:
    yield from message.fields
    for nested in message.nested_types:
        yield from _all_fields(nested)


def test_messages_and_fields() -> None:
    """MESSAGE_PASCAL_CASE, FIELD_LOWER_SNAKE_CASE, ONEOF_LOWER_SNAKE_CASE, FIELD_NOT_REQUIRED, SYNTAX_SPECIFIED."""
    for message in messages():
        assert PASCAL.match(message.name), message.full_name
        for field in message.fields:
            assert SNAKE.match(field.name), field.full_name
        for oneof in message.oneofs:
            assert SNAKE.match(oneof.name.lstrip("_")), oneof.full_name
    for path in SOURCES:
        assert path.read_text("utf-8").startswith('syntax = "proto3";')


def test_enums() -> None:
    """ENUM_PASCAL_CASE, ENUM_VALUE_PREFIX, ENUM_VALUE_UPPER_SNAKE_CASE, ENUM_ZERO_VALUE_SUFFIX, ENUM_FIRST_VALUE_ZERO,
    ENUM_NO_ALLOW_ALIAS."""
    for enum in enums():
        assert PASCAL.match(enum.name), enum.full_name
        assert not enum.GetOptions().allow_alias
        assert enum.values[0].number == 0
        assert enum.values[0].name == upper_snake(enum.name) + "UNSPECIFIED"
        for value in enum.values:
            assert UPPER_SNAKE.match(value.name), value.full_name if hasattr(value, "full_name") else value.name
            assert value.name.startswith(upper_snake(enum.name)), value.name


def test_services_and_methods() -> None:
    """SERVICE_PASCAL_CASE, SERVICE_SUFFIX, RPC_PASCAL_CASE, RPC_REQUEST_STANDARD_NAME, RPC_RESPONSE_STANDARD_NAME,
    RPC_REQUEST_RESPONSE_UNIQUE."""
    for service in services():
        assert PASCAL.match(service.name)
        assert service.name.endswith("Service")
        for method in service.methods:
            short = service.name.removesuffix("Service")
            assert PASCAL.match(method.name), method.full_name
            assert method.input_type.name in (f"{method.name}Request", f"{short}{method.name}Request")
            assert method.output_type.name in (f"{method.name}Response", f"{short}{method.name}Response")
    used = Counter(kind.full_name for method in methods() for kind in (method.input_type, method.output_type))
    assert [name for name, count in used.items() if count > 1] == []


def test_every_service_has_a_file_of_its_own_named_after_it() -> None:
    for file in FILES:
        for name in file.services_by_name:
            words = re.findall("[A-Z][a-z]*", name.removesuffix("Service"))
            assert Path(file.name).stem == "_".join(words).lower()
        assert len(file.services_by_name) <= 1


def test_fields_carry_the_names_of_aip() -> None:
    """Pages have page_size, page_token and next_page_token; times end in time; what changes state can be repeated."""
    for method in methods():
        asked, told = method.input_type.fields_by_name, method.output_type.fields_by_name
        if "page_token" in asked or "next_page_token" in told:
            assert {"page_size", "page_token"} <= set(asked), method.full_name
            assert "next_page_token" in told, method.full_name
    for message in messages():
        for field in message.fields:
            if field.message_type and field.message_type.full_name == "google.protobuf.FieldMask":
                assert field.name == "update_mask", field.full_name
            if field.name == "etag":
                assert field.type == field.TYPE_STRING
    changing = re.compile(r"(Create|Update|Launch|Pause|Resume|End|Resolve|Save|Delete|Move|Merge|Track)")
    for method in methods():
        if changing.match(method.name) and not method.client_streaming:
            assert "request_id" in method.input_type.fields_by_name, method.full_name


def test_every_service_is_commented() -> None:
    for path in SOURCES:
        text = path.read_text("utf-8")
        for found in re.finditer(r"^service ", text, re.MULTILINE):
            before = text[: found.start()].rstrip().rsplit("\n", 1)[-1]
            assert before.startswith("//"), f"{path.name}: the service has no comment"
