"""A Muster server for your tests: a process of its own on loopback, with a store that goes away with it.

The pytest fixture `muster_server` is there wherever this package and muster-server are installed::

    from datetime import timedelta

    def test_somebody_who_signs_up_is_welcomed(muster_server):
        client = muster_server.client
        client.messages.create(
            "welcome",
            targeting='events["Sign up"].size() > 0',
            email={"from": "Shop <hi@example.com>", "subject": "Hi {{ user.name }}", "text": "Welcome!"},
        )
        client.messages.launch("welcome", existing="skip")
        client.update("u1", set={"name": "Ada", "$email": "ada@example.com"})
        client.track("Sign up", "u1")
        client.flush()
        assert [mail.subject for mail in muster_server.inbox()] == ["Hi Ada"]

Each test has a project of its own, a sandbox with a clock that stands still until `muster_server.move_clock`.
"""

from muster.testing.process import ServerProcess, start_server
from muster.testing.server import TestServer

__all__ = ["ServerProcess", "TestServer", "start_server"]
