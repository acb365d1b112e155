"""The append-only record of who did what to which version: entries, store, rules, and the alias as its projection."""
