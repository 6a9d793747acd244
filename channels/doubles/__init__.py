"""Receivers that speak the real protocols on loopback, for tests and for the demo.

They record what they take, count every idempotency key, and misbehave on request. `python -m channels.doubles`
runs one as a process of its own, so that it outlives a server that is killed. The SMTP one needs `aiosmtpd`
(the `demo` extra).
"""
