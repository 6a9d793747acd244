"""A campaign made ready to judge: its expressions, parsed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from core.errors import InvalidExpression
from core.evaluator.parse import Parsed
from core.evaluator.time_use import TimeUse, analyse, launch_problems
from core.messaging.campaign_definitions import JOURNEY_ENTERED, CampaignDefinition
from core.messaging.work import View


@dataclass(frozen=True, slots=True)
class CompiledCampaign:
    """A campaign's working parts; `exit` is None where nobody leaves."""

    entry: Parsed
    time_use: TimeUse
    exit: Parsed | None

    @property
    def audiences(self) -> frozenset[str]:
        """The saved audiences that either names."""
        return frozenset(self.entry.audiences) | frozenset(self.exit.audiences if self.exit is not None else ())


def compile_campaign(view: View, definition: CampaignDefinition) -> CompiledCampaign:
    """The working parts of a campaign against the project's audiences.

    Raises:
        InvalidExpression: with the field; ENTRY_READS_ENTRY.
    """
    entry = _parsed(view, definition.entry, "campaign.entry")
    if JOURNEY_ENTERED in entry.events:
        raise InvalidExpression(
            f"who enters cannot depend on {JOURNEY_ENTERED}",
            field="campaign.entry",
            mend="read what made them enter the other campaign, or what it sent them: $campaign_delivery",
            code="ENTRY_READS_ENTRY",
        )
    exit_ = _parsed(view, definition.exit, "campaign.exit") if definition.exit.strip() else None
    return CompiledCampaign(entry, _time_use(entry), exit_)


def _parsed(view: View, text: str, field: str) -> Parsed:
    try:
        return view.audiences.parse(text)
    except InvalidExpression as error:
        error.field = field
        raise


@lru_cache(maxsize=256)
def _time_use(parsed: Parsed) -> TimeUse:
    return analyse(parsed)


def refuse_unknown_entry_time(compiled: CompiledCampaign) -> None:
    """Refuse to launch a campaign whose entry would have to be judged at every instant.

    Raises:
        InvalidExpression: TIME_USE_UNKNOWN, with the position.
    """
    for problem in launch_problems(compiled.entry):
        problem.field = "campaign.entry"
        raise problem
