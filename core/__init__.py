"""The engine of Muster: everything that is decided, and nothing about how it is asked or carried."""
