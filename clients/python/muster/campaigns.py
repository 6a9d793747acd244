"""Campaigns: lists of messages to whoever enters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from google.protobuf import field_mask_pb2

from muster import flow as flows
from muster.errors import InvalidInput
from muster.flow import Flow, Rpc
from muster.messages import EXISTING, LONG, STATES, UNCHANGED, Existing, Goal, State, Unchanged, choice
from muster.service import Items, Service, Way, answered, listed, new_request_id
from muster.v1 import campaign_pb2

_SERVICE: Final = "/muster.v1.CampaignService"
_CREATE: Final = Rpc(f"{_SERVICE}/CreateCampaign", campaign_pb2.CreateCampaignResponse)
_GET: Final = Rpc(f"{_SERVICE}/GetCampaign", campaign_pb2.GetCampaignResponse)
_LIST: Final = Rpc(f"{_SERVICE}/ListCampaigns", campaign_pb2.ListCampaignsResponse)
_UPDATE: Final = Rpc(f"{_SERVICE}/UpdateCampaign", campaign_pb2.UpdateCampaignResponse)
_LAUNCH: Final = Rpc(f"{_SERVICE}/LaunchCampaign", campaign_pb2.LaunchCampaignResponse)
_PAUSE: Final = Rpc(f"{_SERVICE}/PauseCampaign", campaign_pb2.PauseCampaignResponse)
_RESUME: Final = Rpc(f"{_SERVICE}/ResumeCampaign", campaign_pb2.ResumeCampaignResponse)
_END: Final = Rpc(f"{_SERVICE}/EndCampaign", campaign_pb2.EndCampaignResponse)
_COUNT: Final = Rpc(f"{_SERVICE}/CountCampaign", campaign_pb2.CountCampaignResponse)


class Campaigns(Service[Way]):
    """`client.campaigns`: drafts, launches and counts campaigns."""

    @answered
    def create(
        self,
        key: str,
        *,
        entry: str,
        messages: Sequence[str] = (),
        exit: str = "",
        control_percent: float = 0.0,
        rate_limit: timedelta | None = None,
        goal: Goal | None = None,
        title: str = "",
        request_id: str = "",
    ) -> Flow[campaign_pb2.CreateCampaignResponse]:
        """Create a draft. The answer holds the campaign, and warnings of names in it never seen.

        Arguments:
            key: lower-case letters, digits, `-` and `_`, at most 63, starting with a letter.
            entry: who enters, in CEL: whoever comes to match, once. It has the event `$journey_entered` of them.
            messages: keys of drafts that no other campaign has; the first goes before the others where several
                qualify together.
            exit: in CEL, for whom nothing of the campaign is sent any more. "": nobody.
            control_percent: of those who enter, how many are held out of all messages to compare with; 0 to 100.
            rate_limit: the least time between any two of its messages to a user; None: none.
            goal: what results count as a conversion, for messages that have none of their own.
            title: for people.

        Raises:
            AlreadyExists: if the key is taken.
            InvalidInput: for an expression that cannot be used, at `position`.
            FailedPrecondition: for a message that was launched, or is another campaign's.

        Example::

            client.campaigns.create(
                "win-back",
                entry='user.plan == "free" && user["Last login"] < now - duration("336h")',
                messages=["we-miss-you", "last-offer"],
                exit='events["Purchase"].exists(e, e.time > now - duration("336h"))',
            )
        """
        campaign = campaign_of(
            key,
            entry=entry,
            messages=messages,
            exit=exit,
            control_percent=control_percent,
            rate_limit=rate_limit,
            goal=goal,
            title=title,
        )
        request = campaign_pb2.CreateCampaignRequest(
            project=self._project, request_id=request_id or new_request_id(), campaign=campaign
        )
        return (yield from self._ask(_CREATE, request))

    @answered
    def get(self, key: str) -> Flow[campaign_pb2.Campaign]:
        """One campaign.

        Raises:
            NotFound: if there is none of that key.

        Example::

            print(client.campaigns.get("win-back").messages)
        """
        answer = yield from self._ask(_GET, campaign_pb2.GetCampaignRequest(project=self._project, key=key))
        return answer.campaign

    @listed
    def list(self, *, state: State | None = None, page_size: int = 0) -> Items[campaign_pb2.Campaign]:
        """The campaigns, by key.

        Arguments:
            state: only those in it.

        Example::

            for campaign in client.campaigns.list(state="live"):
                print(campaign.key, campaign.entry)
        """

        def page(token: str) -> Flow[campaign_pb2.ListCampaignsResponse]:
            request = campaign_pb2.ListCampaignsRequest(project=self._project, page_size=page_size, page_token=token)
            if state is not None:
                request.state = choice(state, STATES, "state")
            return self._ask(_LIST, request)

        return Items(campaign_pb2.Campaign, flows.pages(page, lambda found: found.campaigns))

    @answered
    def update(
        self,
        key: str,
        *,
        entry: str | Unchanged = UNCHANGED,
        messages: Sequence[str] | Unchanged = UNCHANGED,
        exit: str | Unchanged = UNCHANGED,
        control_percent: float | Unchanged = UNCHANGED,
        rate_limit: timedelta | Unchanged | None = UNCHANGED,
        goal: Goal | Unchanged | None = UNCHANGED,
        title: str | Unchanged = UNCHANGED,
        etag: str = "",
        request_id: str = "",
    ) -> Flow[campaign_pb2.UpdateCampaignResponse]:
        """Change a draft, or what may change of a campaign that was launched; what is not given stays as it is.

        Arguments:
            messages: the whole list. What it adds must be drafts, launched when the campaign is launched or resumed;
                what was launched stays in it.
            control_percent: nobody who entered changes sides.
            goal: None: none. It may change at any time, as it decides nothing.
            etag: of the campaign as it was read. "": no check.
            others: as for `create`.

        Raises:
            StaleEtag: if the campaign has changed since that etag.
            InvalidInput: if its state does not allow the change.

        Example::

            client.campaigns.update("win-back", messages=["last-offer", "we-miss-you"])
        """
        given = {
            "entry": entry,
            "messages": messages,
            "exit": exit,
            "control_percent": control_percent,
            "rate_limit": rate_limit,
            "goal": goal,
            "title": title,
        }
        changes = {name: value for name, value in given.items() if value is not UNCHANGED}
        campaign = campaign_of(key, **changes)
        campaign.etag = etag
        request = campaign_pb2.UpdateCampaignRequest(
            project=self._project,
            request_id=request_id or new_request_id(),
            campaign=campaign,
            update_mask=field_mask_pb2.FieldMask(paths=[*changes]),
        )
        return (yield from self._ask(_UPDATE, request))

    @answered
    def launch(
        self,
        key: str,
        *,
        existing: Existing | None = None,
        validate_only: bool = False,
        etag: str = "",
        timeout: float = LONG,
        request_id: str = "",
    ) -> Flow[campaign_pb2.LaunchCampaignResponse]:
        """Make a draft live with all its messages; or only tell who would enter, and what would be sent.

        Arguments:
            existing: what becomes of those who match the entry already: "send", they enter; "skip", they never do.
            validate_only: change nothing; the answer's `forecast` tells.
            etag: of the campaign as it was read. "": no check.
            timeout: seconds; everybody is judged.

        Raises:
            FailedPrecondition: if it is no draft.
            InvalidInput: if it has no messages, or one of them could not be launched.

        Example::

            forecast = client.campaigns.launch("win-back", validate_only=True).forecast
            print(forecast.entering, [(one.key, one.forecast.ready) for one in forecast.messages])
        """
        request = campaign_pb2.LaunchCampaignRequest(
            project=self._project,
            request_id=request_id or new_request_id(),
            key=key,
            validate_only=validate_only,
            etag=etag,
        )
        if existing is not None:
            request.existing = choice(existing, EXISTING, "existing")
        return (yield from self._ask(_LAUNCH, request, timeout))

    @answered
    def pause(self, key: str, *, request_id: str = "") -> Flow[campaign_pb2.Campaign]:
        """Stop a live campaign: nobody enters, and nothing of it begins any more.

        Example::

            client.campaigns.pause("win-back")
        """
        request = campaign_pb2.PauseCampaignRequest(
            project=self._project, request_id=request_id or new_request_id(), key=key
        )
        answer = yield from self._ask(_PAUSE, request)
        return answer.campaign

    @answered
    def resume(self, key: str, *, timeout: float = LONG, request_id: str = "") -> Flow[campaign_pb2.Campaign]:
        """Let those in who match by now; its messages go on, and those added meanwhile are launched.

        Arguments:
            timeout: seconds; everybody is judged.

        Example::

            client.campaigns.resume("win-back")
        """
        request = campaign_pb2.ResumeCampaignRequest(
            project=self._project, request_id=request_id or new_request_id(), key=key
        )
        answer = yield from self._ask(_RESUME, request, timeout)
        return answer.campaign

    @answered
    def end(self, key: str, *, request_id: str = "") -> Flow[campaign_pb2.Campaign]:
        """End a campaign and its messages for good.

        Example::

            client.campaigns.end("win-back")
        """
        request = campaign_pb2.EndCampaignRequest(
            project=self._project, request_id=request_id or new_request_id(), key=key
        )
        answer = yield from self._ask(_END, request)
        return answer.campaign

    @answered
    def count(self, key: str) -> Flow[campaign_pb2.CountCampaignResponse]:
        """Who entered, and every selected user of each message accounted for.

        Example::

            found = client.campaigns.count("win-back")
            print(found.entered, [(one.key, one.counts.sent) for one in found.messages])
        """
        return (yield from self._ask(_COUNT, campaign_pb2.CountCampaignRequest(project=self._project, key=key)))


def campaign_of(key: str, **fields: Any) -> campaign_pb2.Campaign:
    """A campaign of the fields given; None is the protocol's unset.

    Raises:
        InvalidInput: for a field of the wrong kind, named.
    """
    try:
        return campaign_pb2.Campaign(key=key, **fields)
    except (TypeError, ValueError) as error:
        raise InvalidInput(str(error), field="campaign", mend="see Campaigns.create", code="VALUE_TYPE") from error
