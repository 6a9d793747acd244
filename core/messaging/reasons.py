"""The reasons of skips, deferrals and failures, in words."""

from __future__ import annotations

from typing import Final

_REASONS: Final = {
    "unreachable": "there is no address to send to on this channel",
    "missing_property": "the template needs a property that the user lacks",
    "missing_data": "the template reads data that the call which sent it did not give",
    "missing_event": "the template reads the event that caused the match, and time alone caused it",
    "render_failed": "the user's values do not fit the template",
    "unsubscribed": "the address is unsubscribed from everything, or the user's $unsubscribed says so",
    "unsubscribed_topic": "the address is unsubscribed from the message's topic",
    "suppressed": "the address is not sent to",
    "address_in_use": "another user of the same address is to get the message",
    "address_taken": "another user of the same address got the message",
    "backfilled": "the match came from an import or from an event that was too old to trigger",
    "matched_at_launch": "the user matched already at the launch, which was told to skip those",
    "no_longer_matches": "the user no longer matched when it was to be sent",
    "expired": "it waited, or would have waited, longer than the message's expires_after",
    "ended": "the message ended before it was sent",
    "at_send": "it was sent there and then, and nothing waits for what kept the user from it",
    "not_targeted": "the targeting did not match when it was sent",
    "superseded": "the next run came before what kept the user from this one was gone",
    "local_time_past": "the time was past in the user's zone at the launch, which was told to skip those",
    "exited": "the campaign's exit condition holds for the user",
    "merged": "the user was merged into another, whose delivery counts",
    "deleted": "the user was deleted",
    "once": "an id of this user had it before its user was deleted, or it may have reached the user by another hand-off",
    "control": "belongs to the message's control group: held out, to compare with",
    "holdout": "belongs to the project's holdout, which is sent nothing, to compare with",
    "send_window": "waits for the message's send window, by the wall clock where the user lives",
    "frequency_cap": "got as many messages of late as the project's frequency caps allow",
    "rate_limit": "another message of the campaign went to the user less than its rate_limit ago",
    "quiet_hours": "waits for the end of the quiet hours, by the wall clock where the user lives",
    "provider_refused": "the provider refused it for good",
    "operator": "an operator settled it",
}
"""What each reason means, for people."""


def describe(reason: str) -> str:
    """A reason in words."""
    name, _, rest = reason.partition(":")
    text = _REASONS.get(name, name)
    return f"{text}: {rest}" if rest else text
