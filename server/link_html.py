"""The pages that links in emails lead to, as HTML that is read on a phone, in either light, and without any script."""

from __future__ import annotations

from html import escape
from typing import Final

from core.messaging.consent_book import Topic
from core.messaging.consent_reading import Preferences

_STYLE: Final = """
:root { color-scheme: light dark; --ground: #f4f5f7; --sheet: #fff; --ink: #1d2330; --soft: #5d6675; --line: #dfe3ea;
  --act: #2456d6; --on-act: #fff; --good: #1c7a45; }
@media (prefers-color-scheme: dark) { :root { --ground: #12151b; --sheet: #1c2129; --ink: #eef1f6; --soft: #a3adbd;
  --line: #333b48; --act: #86a8ff; --on-act: #10141c; --good: #6fd39b; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; padding: 24px 16px; background: var(--ground); color: var(--ink);
  font: 17px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; display: flex; align-items: flex-start;
  justify-content: center; }
main { width: 100%; max-width: 440px; margin-top: min(10vh, 80px); padding: 28px 24px; background: var(--sheet);
  border: 1px solid var(--line); border-radius: 16px; }
h1 { margin: 0 0 8px; font-size: 24px; line-height: 1.25; text-wrap: balance; }
p { margin: 0 0 20px; color: var(--soft); }
strong { color: var(--ink); font-weight: 600; overflow-wrap: anywhere; }
form { margin: 0; }
button { display: block; width: 100%; min-height: 52px; margin-top: 12px; padding: 12px 16px; font: inherit; font-weight: 600;
  border-radius: 12px; border: 1px solid var(--act); background: var(--act); color: var(--on-act); cursor: pointer; }
button.second { background: transparent; color: var(--act); border-color: var(--line); }
button:focus-visible, a:focus-visible, input:focus-visible { outline: 3px solid var(--act); outline-offset: 2px; }
a { color: var(--act); }
.link { display: inline-block; padding: 12px 0; margin-top: 12px; }
ul { list-style: none; margin: 0 0 8px; padding: 0; border-top: 1px solid var(--line); }
li { border-bottom: 1px solid var(--line); }
label { display: flex; align-items: center; gap: 14px; min-height: 56px; padding: 8px 0; cursor: pointer;
  overflow-wrap: anywhere; }
input { flex: none; width: 24px; height: 24px; margin: 0; accent-color: var(--act); }
.note { margin: 0 0 20px; padding: 10px 14px; border-radius: 10px; border: 1px solid var(--line); color: var(--ink);
  font-size: 15px; }
.good { border-color: var(--good); color: var(--good); font-weight: 600; }
"""

_PREVIEW: Final = '<div class="note">This link is of a preview: nothing it does is kept.</div>'


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>{body}</main></body></html>"
    )


def _whom(chosen: Preferences) -> str:
    return f"<strong>{escape(chosen.address)}</strong>" if chosen.address else "this address"


def _title(topic: Topic) -> str:
    return topic.title or topic.key


def unsubscribe(chosen: Preferences, topic: Topic | None, *, preview: bool) -> str:
    """The question whether to unsubscribe: from a topic or from everything."""
    note = _PREVIEW if preview else ""
    everything = '<button name="scope" value="everything"{}>Unsubscribe from everything</button>'
    if topic is None:
        said = f"No more emails will be sent to {_whom(chosen)}."
        choices = everything.format("")
    else:
        said = f"You can stop <strong>{escape(_title(topic))}</strong>, or all emails to {_whom(chosen)}."
        choices = (
            f'<button name="scope" value="topic">Unsubscribe from {escape(_title(topic))}</button>'
            + everything.format(' class="second"')
        )
    return _page("Unsubscribe", f'{note}<h1>Unsubscribe?</h1><p>{said}</p><form method="post">{choices}</form>')


def unsubscribed(chosen: Preferences, topic: Topic | None, token: str) -> str:
    """What is so after unsubscribing, and the way back."""
    what = f"<strong>{escape(_title(topic))}</strong>" if topic is not None else "emails"
    return _page(
        "Unsubscribed",
        f"<h1>You are unsubscribed</h1><p>{_whom(chosen)} will get no more {what}. "
        "A message that is on its way already may still arrive.</p>"
        f'<a class="link" href="../p/{escape(token)}">Change what you get</a>',
    )


def preferences(chosen: Preferences, *, saved: bool, preview: bool) -> str:
    """The choice of topics, and of nothing at all."""
    note = _PREVIEW if preview else '<div class="note good" role="status">Your choice is saved.</div>' if saved else ""
    rows = "".join(
        f'<li><label><input type="checkbox" name="topic:{escape(topic.key)}"'
        f"{'' if stopped else ' checked'}>{escape(_title(topic))}</label></li>"
        for topic, stopped in chosen.topics
    )
    if chosen.everything:
        said = f"{_whom(chosen)} gets no emails at all."
        choices = '<button name="choice" value="some">Get emails again</button>'
    else:
        said = f"What is sent to {_whom(chosen)}."
        choices = '<button name="choice" value="some">Save</button>' if chosen.topics else ""
        choices += '<button class="second" name="choice" value="nothing">Unsubscribe from everything</button>'
    listed = f"<ul>{rows}</ul>" if rows else ""
    return _page("Your emails", f'{note}<h1>Your emails</h1><p>{said}</p><form method="post">{listed}{choices}</form>')


def unreadable() -> str:
    """What is said of a link that is none."""
    return _page(
        "Not found",
        "<h1>This link does not work</h1><p>It may have been cut off on its way. Open it from the email once more, "
        "or answer the email and ask to be taken off the list.</p>",
    )
