"""Python programs inside containers of both runtimes: shipped by one, mounted from this machine into the other."""

from __future__ import annotations

from typing import Any

SERVER = '''
import http.server, signal, socket, socketserver, sys, threading
name = socket.gethostname()
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{name} {self.client_address[0]}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        print(*words, flush=True)
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    request_queue_size = 128
def datagrams():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("", 9053))
    while True:
        data, peer = sock.recvfrom(2048)
        sock.sendto(data + b" from " + name.encode(), peer)
threading.Thread(target=datagrams, daemon=True).start()
server = Server(("", 8080), Page)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
'''
CALL = '''
import ssl, sys, urllib.error, urllib.request
where = "/var/run/secrets/kubernetes.io/serviceaccount/"
request = urllib.request.Request("https://kubernetes.default.svc" + sys.argv[1])
if len(sys.argv) < 3:
    request.add_header("Authorization", "Bearer " + open(where + "token").read())
try:
    answer = urllib.request.urlopen(request, context=ssl.create_default_context(cafile=where + "ca.crt"), timeout=10)
except urllib.error.HTTPError as error:
    answer = error
print(answer.status, answer.read().decode())
'''
LIBRARIES = {"usr": ("/usr", "/usr"), "lib": ("/usr/lib", "/lib"), "lib64": ("/lib64", "/lib64")}


def with_python(runtime: str, pod: dict[str, Any]) -> dict[str, Any]:
    """Return the pod's spec with Python in its first container, and /programs with `server.py` and `call.py`."""
    container, mounts = pod["containers"][0], [{"name": "programs", "mountPath": "/programs"}]
    volumes: list[dict[str, Any]] = [{"name": "programs", "configMap": {"name": "programs"}}]
    if runtime == "docker":
        volumes += [{"name": name, "hostPath": {"path": path, "type": "Directory"}}
                    for name, (path, _) in LIBRARIES.items()]
        mounts += [{"name": name, "mountPath": path, "readOnly": True} for name, (_, path) in LIBRARIES.items()]
    program = {"image": "busybox:1.36", "command": ["/usr/bin/python3"]} if runtime == "docker" else \
        {"image": "python:3.12", "command": ["python3"]}
    made = {"args": ["/programs/server.py"]} | container | program
    made["volumeMounts"] = [*container.get("volumeMounts", ()), *mounts]
    return pod | {"containers": [made, *pod["containers"][1:]], "volumes": [*pod.get("volumes", ()), *volumes]}


def config_map() -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "programs"},
            "data": {"server.py": SERVER, "call.py": CALL}}
