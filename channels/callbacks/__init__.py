"""What providers call back with: each call verified, read as feedback, and told to the server before it is answered.

A `source` is one provider's way of calling; the `listener` serves them over HTTP. Nothing waits here: a call is
answered with success once the server has what it said on disk, and otherwise so that the provider calls again.
"""
