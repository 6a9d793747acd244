"""The people of the benchmarks: profiles made from a seed, the same for Muster and for every peer.

Country is Zipf-distributed over 200 values, plan has four, last seen is on whole seconds and lifetime value (ltv) in
whole cents, emails are unique strings that one in twelve lacks. Nothing here is a real person's.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.values import MICROS_PER_DAY, MICROS_PER_SECOND

FORMAT: Final = 2
"""Counts changes of what is generated; part of the cached corpora's key."""

PROJECT: Final = "bench"
"""The project that holds them."""

NOW: Final = 1_767_225_600 * MICROS_PER_SECOND
"""The corpus' present: 2026-01-01T00:00:00Z."""

COUNTRIES: Final = tuple(
    (
        "US IN BR CN DE GB FR JP MX CA IT ES ID NG TR KR PL AR NL AU ZA CO SE BE CH AT PT GR DK NO FI IE CZ RO HU UA "
        "IL AE SA EG MA KE GH TZ UG ET PK BD LK NP MM TH VN MY SG PH TW HK NZ CL PE EC VE BO PY UY CR PA GT HN SV NI "
        "DO CU JM TT HT BS BB BZ GY SR IS LU MT CY EE LV LT SK SI HR BA RS ME MK AL BG MD BY GE AM AZ KZ UZ KG TJ TM "
        "MN KH LA BN TL PG FJ SB VU WS TO KI TV NR PW FM MH QA KW BH OM YE IQ IR SY LB JO PS AF BT MV DZ TN LY SD SS "
        "ER DJ SO RW BI CD CG GA GQ CM CF TD NE ML BF SN GM GW GN SL LR CI TG BJ MR CV ST AO ZM ZW MW MZ NA BW LS SZ "
        "MG MU SC KM RE YT GP MQ GF NC PF AW CW BM KY VG TC AI GI FO"
    ).split()
)
PLANS: Final = ("free", "basic", "pro", "team")
_PLAN_SHARES: Final = (0.70, 0.18, 0.09, 0.03)
_AGES: Final = (16, 80)
_SEEN_DAYS: Final = 60.0  # mean of an exponential
_LTV_LOG_MEAN, _LTV_LOG_DEVIATION = 3.52, 1.2
_WITH_EMAIL: Final = 11 / 12
_UNSUBSCRIBED: Final = 0.12
EMAIL: Final = "u00000000@example.com"
DIGITS: Final = 8
"""Every email is `EMAIL` with the ordinal written over its zeros, which begin at the second character."""
MAX_PROFILES: Final = 10**DIGITS


@dataclass(frozen=True, slots=True)
class People:
    """Columns of n profiles, by ordinal.

    Arguments:
        country: places in `COUNTRIES`.
        plan: places in `PLANS`.
        age: years.
        last_seen: micros UTC, on whole seconds.
        ltv: in whole cents.
        has_email: who has one; see `email_of`.
    """

    country: NDArray[np.uint8]
    plan: NDArray[np.uint8]
    age: NDArray[np.int8]
    last_seen: NDArray[np.int64]
    ltv: NDArray[np.float64]
    has_email: NDArray[np.bool_]
    unsubscribed: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.country)

    def digest(self) -> str:
        """Equal for equal people: what a cached corpus is checked by."""
        digest = hashlib.blake2b(digest_size=16)
        for column in fields(self):
            digest.update(np.ascontiguousarray(getattr(self, column.name)).data)
        return digest.hexdigest()


def generate(count: int, seed: int) -> People:
    """The first `count` people of a seed.

    Raises:
        ValueError: more than `MAX_PROFILES`, whose emails would not be unique.
    """
    if not 0 < count <= MAX_PROFILES:
        raise ValueError(f"{count} profiles: 1 to {MAX_PROFILES}")
    zipf = 1.0 / np.arange(1, len(COUNTRIES) + 1)
    age = _AGES[0] + np.floor(_chance(seed, 2, count) * (_AGES[1] - _AGES[0]))
    ago = -np.log1p(-_chance(seed, 3, count)) * _SEEN_DAYS * (MICROS_PER_DAY // MICROS_PER_SECOND)
    dollars = np.random.default_rng([seed, 4]).lognormal(_LTV_LOG_MEAN, _LTV_LOG_DEVIATION, count)
    return People(
        country=_choices(seed, 0, count, zipf / zipf.sum()),
        plan=_choices(seed, 1, count, np.array(_PLAN_SHARES)),
        age=age.astype(np.int8),
        last_seen=NOW - ago.astype(np.int64) * MICROS_PER_SECOND,
        ltv=np.round(dollars * 100) / 100,
        has_email=_chance(seed, 5, count) < _WITH_EMAIL,
        unsubscribed=_chance(seed, 6, count) < _UNSUBSCRIBED,
    )


def _chance(seed: int, column: int, count: int) -> NDArray[np.float64]:
    return np.random.default_rng([seed, column]).random(count)


def _choices(seed: int, column: int, count: int, shares: NDArray[np.float64]) -> NDArray[np.uint8]:
    places = np.searchsorted(np.cumsum(shares), _chance(seed, column, count), side="right")
    return np.minimum(places, len(shares) - 1).astype(np.uint8)


def email_of(ordinal: int) -> str:
    """The email of a person who has one."""
    return f"u{ordinal:0{DIGITS}d}@example.com"


def id_of(ordinal: int) -> str:
    """The distinct id of a person."""
    return f"user-{ordinal}"
