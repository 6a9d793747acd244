"""Promise: the index of addresses finds exactly who has which, however texts are spelled and users change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phonenumbers import (
    COUNTRY_CODE_TO_REGION_CODE,
    PhoneNumberFormat,
    PhoneNumberType,
    example_number_for_type,
    format_number,
)
from pyroaring import BitMap

from core.bitmaps.population import Population
from core.messaging.address_index import AddressIndex, address_key, fold
from core.messaging.plain_phones import first_digits, plain_starts
from core.values import ABSENT, Value

UID = "5eed"
ASKED = (54, 86, 241, 261)
"""Countries whose mobile numbers begin with a digit that a prefix may begin with, too: the library is asked of each."""
_LOCAL = st.sampled_from(["ann", "Ann.Lee", "ann+x", "INFO", "Postmaster", "abcdefghijkL", '"a b"', "ä", "a..b", ""])
_DOMAIN = st.sampled_from(
    ["example.com", "EXAMPLE.com", "xn--bcher-kva.example", "bücher.example", "a--b.org", "x", ""]
)
_EMAIL = st.one_of(
    st.builds(
        lambda local, domain, space: f"{space}{local}@{domain}{space}", _LOCAL, _DOMAIN, st.sampled_from(["", " "])
    ),
    st.text(st.characters(codec="utf-8"), max_size=12),
)
_CHANGES = st.lists(st.lists(st.tuples(st.integers(0, 9), st.one_of(_EMAIL, st.none(), st.just(ABSENT))), max_size=6))


@settings(deadline=None)
@given(_CHANGES)
def test_the_index_is_its_naive_twin(changes: list[list[tuple[int, Value]]]) -> None:
    index = AddressIndex("email")
    population = Population()
    population.issue(10)
    for batch in changes:
        population = population.fork()
        if batch:
            ordinals = np.array([ordinal for ordinal, _ in batch], np.uint32)
            population.writable_column("$email").set_many(ordinals, [value for _, value in batch])
        present = population.profiles(np.arange(10, dtype=np.uint32), ["$email"])
        spelled = {
            ordinal: fold("email", row["$email"])
            for ordinal, row in enumerate(present)
            if isinstance(row.get("$email"), str)
        }
        keys = index.keys(UID, population, np.arange(10, dtype=np.uint32)).tolist()
        assert keys == [address_key(UID, "email", spelled[one]) if one in spelled else 0 for one in range(10)]
        naive = BitMap(one for one, text in spelled.items() if list(spelled.values()).count(text) > 1)
        assert naive <= index.sharing(UID, population)
        for text in set(spelled.values()):
            wanted = np.array([address_key(UID, "email", text)], np.uint64)
            _, having = index.having(UID, population, wanted)
            assert having.tolist() == sorted(one for one, other in spelled.items() if other == text)


def test_keys_are_of_one_project_and_one_channel_and_never_change() -> None:
    assert address_key(UID, "email", "Ann.Lee@EXAMPLE.com") == address_key(UID, "email", " Ann.Lee@example.com")
    assert address_key(UID, "email", "ann.lee@example.com") != address_key(UID, "email", "Ann.Lee@example.com")
    assert address_key(UID, "email", "ann@example.com") != address_key("other", "email", "ann@example.com")
    assert address_key(UID, "sms", "+49 1511 2345678") == address_key(UID, "sms", "+4915112345678")
    assert address_key(UID, "email", "ann@example.com") == 17433576777902483302


@settings(deadline=None)  # the library reads a country's rules when it first meets it
@given(
    st.sampled_from(sorted(COUNTRY_CODE_TO_REGION_CODE)),
    st.text("0123456789", min_size=4, max_size=14),
    st.sampled_from(["+", "+", "+", "", "00", "+ "]),
)
def test_a_telephone_number_has_the_key_of_its_one_spelling(code: int, rest: str, before: str) -> None:
    population = Population()
    population.issue(1)
    text = f"{before}{code}{rest}"
    population.writable_column("$phone").set_many(np.zeros(1, np.uint32), [text])
    (key,) = AddressIndex("sms").keys(UID, population, np.zeros(1, np.uint32)).tolist()
    assert key == address_key(UID, "sms", text)


@pytest.mark.parametrize("code", sorted(COUNTRY_CODE_TO_REGION_CODE))
def test_most_numbers_of_a_country_need_no_library(code: int) -> None:
    region = COUNTRY_CODE_TO_REGION_CODE[code][0]
    example = example_number_for_type(region, PhoneNumberType.MOBILE)
    if example is not None and code not in ASKED:
        text = format_number(example, PhoneNumberFormat.E164)
        assert text[1:5].isdigit() and plain_starts()[int(text[1:5])]


@pytest.mark.parametrize(
    ("rule", "digits"),
    [
        ("0", "0"),
        ("[08]", "08"),
        ("(183[12])|0", "01"),
        ("0?(11)", "0123456789"),
        ("(?:0|90)(1)?", "09"),
        ("[2-46]", "2346"),
    ],
)
def test_the_first_digits_of_a_rule(rule: str, digits: str) -> None:
    assert first_digits(rule) == set(digits)
