"""What a project knows of consent: its topics, the suppressed addresses, and who has which address."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, get_args

from core.codec import decode, encode, record
from core.errors import NotFound
from core.messaging.address_index import AddressIndex, AddressKind
from core.messaging.suppressions import AddressesReleased, AddressesSuppressed, Suppressions

_TOPIC: Final = b"consent/topic/"


@record("topic")
@dataclass(frozen=True, slots=True)
class Topic:
    """What a person may unsubscribe from on its own, such as a newsletter. `created_at` is micros UTC."""

    key: str
    title: str
    created_at: int = 0


@record("topic_saved")
@dataclass(frozen=True, slots=True)
class TopicSaved:
    """Step of the log: a topic is made or named anew."""

    topic: Topic


@record("topic_deleted")
@dataclass(frozen=True, slots=True)
class TopicDeleted:
    """Step of the log: a topic is gone, and with it who unsubscribed from it."""

    key: str


ConsentStep = AddressesSuppressed | AddressesReleased | TopicSaved | TopicDeleted


class Consent:
    """One version of what a project knows of consent; `fork` before writing.

    Attributes:
        suppressions: addresses that are not sent to.
        addresses: by channel, who has which address; shared by all versions, and not stored.
    """

    def __init__(self) -> None:
        self.suppressions = Suppressions()
        self.addresses: dict[AddressKind, AddressIndex] = {
            channel: AddressIndex(channel) for channel in get_args(AddressKind)
        }
        self._topics: dict[str, Topic] = {}
        self._dirty: frozenset[str] = frozenset()

    def fork(self) -> Consent:
        """A copy that may be written."""
        twin = Consent.__new__(Consent)
        twin.suppressions, twin.addresses = self.suppressions.fork(), self.addresses
        twin._topics, twin._dirty = self._topics, self._dirty
        return twin

    def topics(self) -> list[Topic]:
        """Every topic, by key."""
        return [self._topics[key] for key in sorted(self._topics)]

    def topic(self, key: str, field: str = "key") -> Topic:
        """The topic of that key.

        Raises:
            NotFound: TOPIC_NOT_FOUND, with the nearest key.
        """
        found = self._topics.get(key)
        if found is None:
            near = get_close_matches(key, self._topics, 1)
            raise NotFound(
                f"there is no topic {key!r}",
                field=field,
                mend=f"did you mean {near[0]!r}?" if near else "create it first",
                code="TOPIC_NOT_FOUND",
            )
        return found

    def __contains__(self, key: str) -> bool:
        return key in self._topics

    def apply(self, step: ConsentStep) -> None:
        """Apply a recorded step."""
        if isinstance(step, AddressesSuppressed | AddressesReleased):
            self.suppressions.apply(step)
        elif isinstance(step, TopicSaved):
            self._topics = {**self._topics, step.topic.key: step.topic}
            self._dirty |= {step.topic.key}
        else:
            self._topics = {key: topic for key, topic in self._topics.items() if key != step.key}
            self.suppressions.forget_topic(step.key)
            self._dirty |= {step.key}

    def dirty_pages(self) -> Iterator[tuple[bytes, bytes | None]]:
        """Pages that changed since `clean`; None = deleted."""
        for key in self._dirty:
            yield _TOPIC + key.encode(), encode(self._topics[key]) if key in self._topics else None
        yield from self.suppressions.dirty_pages()

    def clean(self) -> None:
        """Forget what is dirty: a checkpoint has it."""
        self._dirty = frozenset()
        self.suppressions.clean()

    def soil(self, frozen: Consent) -> None:
        """Mark again what `frozen` had not saved: its checkpoint failed."""
        self._dirty |= frozen._dirty
        self.suppressions.soil(frozen.suppressions)

    @classmethod
    def load(cls, scan: Callable[[bytes], Iterator[tuple[bytes, bytes]]]) -> Consent:
        """The consent of a checkpoint."""
        consent = cls()
        for _, page in scan(_TOPIC):
            topic = decode(page)
            consent._topics[topic.key] = topic
        consent.suppressions = Suppressions.load(scan)
        return consent
