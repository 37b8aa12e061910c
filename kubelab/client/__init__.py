"""What every part of the cluster uses to talk to the API server, and nothing else does it."""
