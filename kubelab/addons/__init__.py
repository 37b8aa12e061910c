"""What a cluster runs on top of Kubernetes itself: DNS."""
