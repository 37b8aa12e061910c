"""etcd's own protocol, gRPC: what etcdctl, a kube-apiserver and every etcd client speak."""
