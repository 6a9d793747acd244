"""The command `muster`: everything that can be asked of Muster, from a terminal or a script."""
