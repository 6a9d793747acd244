"""The commands of `muster`, a file for each subject."""
