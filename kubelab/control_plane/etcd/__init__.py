"""The store: every key with its history, numbered by one revision for the whole keyspace."""
