"""Several members that are one etcd: they agree through Raft on each change, and each keeps the whole keyspace."""
