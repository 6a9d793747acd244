"""What people who know Liquid type out of habit, and how Jinja spells it. Only error messages read this."""

from __future__ import annotations

from typing import Final

FILTERS: Final = {
    "plus": "{{ user.points + 1 }}",
    "minus": "{{ user.points - 1 }}",
    "times": "{{ user.price * 2 }}",
    "divided_by": "{{ user.total / 2 }}",
    "modulo": "{{ user.points % 10 }}",
    "append": '{{ user.name ~ "!" }}',
    "prepend": '{{ "Dear " ~ user.name }}',
    "downcase": "{{ user.name | lower }}",
    "upcase": "{{ user.name | upper }}",
    "strip": "{{ user.name | trim }}",
    "size": "{{ user.items | length }}",
    "count": "{{ user.items | length }}",
    "remove": '{{ user.name | replace("x", "") }}',
    "url_encode": "{{ user.name | urlencode }}",
    "uniq": "{{ user.tags | unique | join }}",
    "json": "{{ user.name | tojson }}",
    "pluralize": '{{ user.points | plural("point", "points") }}',
    "ceil": '{{ user.price | round(0, "ceil") }}',
    "floor": '{{ user.price | round(0, "floor") }}',
    "strftime": '{{ user.created | date("%d %B %Y") }}',
    "money": "{{ user.price | number(2) }}",
    "slice": "{{ user.name[:3] }}",
    "limit": "{{ user.items[:3] }}",
    "at_least": "{{ user.points if user.points > 10 else 10 }}",
    "at_most": "{{ user.points if user.points < 10 else 10 }}",
}
"""Filters of Liquid (and of other Jinja set-ups) that this product spells otherwise, each with an example."""

TAGS: Final = {
    "assign": "{% set x = user.name %}",
    "elsif": "{% elif user.plan == 'pro' %}",
    "unless": "{% if not user.vip %} … {% endif %}",
    "endunless": "{% endif %}",
    "case": "{% if user.plan == 'pro' %} … {% elif user.plan == 'free' %} … {% endif %}",
    "when": "{% elif user.plan == 'free' %}",
    "endcase": "{% endif %}",
    "comment": "{# … #}",
    "endcomment": "{# … #}",
    "capture": "{% set x = user.first ~ ' ' ~ user.last %}",
    "endcapture": "{% set x = user.first ~ ' ' ~ user.last %}",
    "echo": "{{ user.name }}",
}
"""Tags of Liquid, each with the Jinja spelling."""
