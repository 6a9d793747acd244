"""Channel workers: each takes batches from the delivery stream and calls a provider over its real protocol.

A worker knows the server only through the Python client, `muster`. `channels.loop` drives any provider;
`channels.email` and `channels.webhook` are the providers; `channels.doubles` are receivers to try them against.
"""
