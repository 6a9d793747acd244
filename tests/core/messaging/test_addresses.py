"""Promise: a URL on an allow-list lets through itself and, where it ends in /, what lies below it; nothing else."""

from __future__ import annotations

import pytest

from core.messaging.addresses import read_url


def allows(entry: str, target: str) -> bool:
    allowed, wanted = read_url(entry), read_url(target)
    assert allowed is not None
    return wanted is not None and allowed.allows(wanted)


@pytest.mark.parametrize(
    ("entry", "target"),
    [
        ("https://example.com/hook", "https://example.com/hook"),
        ("https://example.com/hook", "HTTPS://EXAMPLE.COM:443/hook"),
        ("https://Example.com:443/", "https://example.com/any/thing?a=b"),
        ("https://example.com", "https://example.com/"),
        ("https://example.com/hooks/", "https://example.com/hooks/a/b"),
        ("https://example.com/hook?to=a", "https://example.com/hook?to=a"),
        ("http://[::1]:8080/", "http://[::1]:8080/x"),
    ],
)
def test_what_is_let_through(entry: str, target: str) -> None:
    assert allows(entry, target)


@pytest.mark.parametrize(
    ("entry", "target"),
    [
        ("https://example.com/hook", "https://example.com/HOOK"),
        ("https://example.com/Hooks/", "https://example.com/hooks/a"),
        ("https://example.com/hook", "https://example.com/hook/a"),
        ("https://example.com/hook", "https://example.com/hooks"),
        ("https://example.com/hook", "https://example.com/hook?to=b"),
        ("https://example.com", "https://example.com.evil.example/"),
        ("https://example.com/", "https://example.com@evil.example/"),
        ("https://example.com/", "http://example.com/"),
        ("https://example.com/", "https://example.com:8443/"),
        ("https://example.com/hooks/", "https://example.com/hooks/../admin"),
        ("https://example.com/hooks/", "https://example.com/hooks/%2E%2e/admin"),
        ("https://example.com/hooks/", "https://example.com/hooks/..\\admin"),
        ("https://example.com/?to=/", "https://example.com/x"),
        ("https://example.com/", "https:///x"),
    ],
)
def test_what_is_not(entry: str, target: str) -> None:
    assert not allows(entry, target)


@pytest.mark.parametrize("text", ["https://", "http:///", "https://:443/", "https://a:b/", "ftp://a/", "a", "//a/", ""])
def test_what_names_no_host_is_no_url(text: str) -> None:
    assert read_url(text) is None
