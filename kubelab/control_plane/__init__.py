"""The master: the store, the API server in front of it, and the loops that close the gap to what was asked for."""
