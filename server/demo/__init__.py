"""`muster demo`: the whole path on real purchases, from an import to mails counted by their receiver."""
