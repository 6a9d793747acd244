"""What messaging sees of a version: to read it, and, while a group is at work, to change it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from core.bitmaps.population import Population
from core.evaluator.audience import AudienceDeleted, Audiences, AudienceSaved
from core.messaging.book import Messages
from core.messaging.campaign_definitions import CampaignStep
from core.messaging.campaigns import Campaigns
from core.messaging.consent_book import Consent, ConsentStep
from core.messaging.effects import Effect
from core.messaging.rows import Instants, Ordinals
from core.profiles.identity import Users
from core.profiles.steps import ProfilesChanged, UsersIssued
from core.profiles.touched import Touched
from core.settings import Settings


@dataclass(frozen=True, slots=True)
class Pending:
    """Deferred users of an occurrence whom timing gates are to judge in this very step, each at an instant in micros.

    `fresh`: all other gates let them through at that instant; otherwise they are judged again by all.
    """

    key: str
    occurrence: int
    ordinals: Ordinals
    instants: Instants
    fresh: bool


class View(Protocol):
    """One version, read only. `now` is micros UTC."""

    now: int
    settings: Settings
    population: Population
    users: Users
    audiences: Audiences
    messages: Messages
    consent: Consent
    campaigns: Campaigns


class Work(View, Protocol):
    """The version that a group is changing."""

    touched: Touched
    pending: list[Pending]

    def do(
        self,
        step: Effect | CampaignStep | ConsentStep | UsersIssued | ProfilesChanged | AudienceSaved | AudienceDeleted,
    ) -> None:
        """Apply a decision and record it for the log."""
