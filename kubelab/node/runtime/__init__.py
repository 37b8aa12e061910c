"""Container runtimes behind one CRI-shaped protocol: plain processes, Docker Engine, hollow."""
