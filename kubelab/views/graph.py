"""The object graph: who leads to whom, Ingress → Service → EndpointSlice → Pod ← ReplicaSet ← Deployment.

    objects ─► edges (owner references, target references, backends) ─► dot text ─► SVG

Invariant: `object_graph` is a pure function of the objects; an arrow stands for a reference that one of them holds.
Left out:  nodes (the machines) and events; the cluster view shows those
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from kubelab.client.client import Client
from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import Obj
from kubelab.views.items import container_states, pod_phase

KINDS = ("ingresses", "services", "endpointslices", "pods", "replicasets", "replicationcontrollers", "deployments")

LOOK = {  # kind -> (fill, line); ink on every fill is dark, so the drawing reads on light and dark pages alike
    "Ingress": ("#e8def8", "#7b5ea7"), "Service": ("#dbe6fd", "#326ce5"), "EndpointSlice": ("#e7ecf5", "#6b86b8"),
    "ReplicaSet": ("#eceff3", "#8b949e"), "Deployment": ("#fdf1d6", "#b58300"), "": ("#eceff3", "#8b949e")}
PHASE = {"ready": ("#d6f0e7", "#009E73", "ready"), "unready": ("#ffffff", "#E69F00", "not ready"),
         "pending": ("#ffffff", "#56B4E9", "pending"), "failed": ("#fbe3d6", "#D55E00", "failing"),
         "succeeded": ("#ffffff", "#8b949e", "done")}
RIGHT = ("ReplicaSet", "ReplicationController", "Deployment")  # owners, drawn to the right of what they own
INK, LINE = "#1f2328", "#7d8794"
MANY_PODS = 12  # more of one owner are drawn as one


class GraphvizFigure:
    """A drawing of a dot graph: SVG in a notebook, its dot text in `source`."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._svg = ""

    @property
    def svg(self) -> str:
        """Return the drawing, made by `dot` where it is installed and by graphviz-pure elsewhere."""
        if not self._svg:
            self._svg = render(self.source)
        return self._svg

    def save(self, path: str | Path) -> Path:
        """Write the SVG to a file."""
        out = Path(path)
        out.write_text(self.svg)
        return out

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"image/svg+xml": self.svg, "text/plain": self.source}

    def __repr__(self) -> str:
        return self.source


def render(source: str) -> str:
    """Lay out a dot graph and return it as SVG text."""
    import graphviz
    from graphviz.backend import dot_command

    if not shutil.which("dot"):
        own = Path(sys.executable).with_name("graphviz-pure" + Path(sys.executable).suffix)
        dot_command.DOT_BINARY = own if own.exists() else Path("graphviz-pure")
    return str(graphviz.Source(source).pipe(format="svg", encoding="utf-8"))


async def cluster_graph(client: Client, namespace: str) -> GraphvizFigure:
    """Return the graph of everything in a namespace."""
    async def found(plural: str) -> list[Obj]:
        try:
            listed = await client.list(plural, namespace)
        except ApiError as error:
            if error.code in (403, 404):
                return []  # this cluster does not serve that kind, or not to us: draw the rest
            raise
        return [{"kind": listed["kind"].removesuffix("List")} | item for item in listed["items"]]

    lists = await asyncio.gather(*(found(plural) for plural in KINDS))
    return object_graph(obj for objects in lists for obj in objects)


def object_graph(objects: Iterable[Obj]) -> GraphvizFigure:
    """Draw these objects and the references between them."""
    known = {o["metadata"]["uid"]: o for o in objects if not _empty_replica_set(o)}
    groups = _crowds(known)
    nodes, edges = dict.fromkeys(groups.get(uid, uid) for uid in known), dict[str, None]()
    for a, b, back in (edge for obj in known.values() for edge in _edges(obj, known)):
        left, right = _id(groups.get(a, a)), _id(groups.get(b, b))
        edges[f"  {left} -> {right}{' [dir=back]' if back else ''};"] = None
    lines = ["digraph objects {", '  rankdir=LR; bgcolor="transparent"; nodesep=0.18; ranksep=0.55;',
             f'  node [shape=box, style="rounded,filled", fontname="Helvetica", fontsize=11, fontcolor="{INK}", '
             'penwidth=1.4, margin="0.14,0.07"];', f'  edge [color="{LINE}", arrowsize=0.7];',
             *(_node(uid, known, groups) for uid in nodes), *edges, "}"]
    return GraphvizFigure("\n".join(lines))


def _empty_replica_set(obj: Obj) -> bool:
    """Old revisions of a Deployment have no pods; they would crowd the picture."""
    counts = obj.get("spec", {}).get("replicas"), (obj.get("status") or {}).get("replicas")
    return obj["kind"] == "ReplicaSet" and not any(counts)


def _crowds(known: dict[str, Obj]) -> dict[str, str]:
    """Return pod uid -> id of the crowd that stands for it, where an owner has too many to draw."""
    crowds: dict[str, list[str]] = {}
    for uid, obj in known.items():
        if obj["kind"] == "Pod":
            owner = next((o["uid"] for o in obj["metadata"].get("ownerReferences") or ()), "")
            crowds.setdefault(f"pods of {owner} {_phase(obj)}", []).append(uid)
    return {uid: crowd for crowd, uids in crowds.items() if len(uids) > MANY_PODS for uid in uids}


def _edges(obj: Obj, known: dict[str, Obj]) -> Iterator[tuple[str, str, bool]]:
    """Yield (left, right, backwards): the reader goes left to right, the arrow may point the other way."""
    meta, uid, kind = obj["metadata"], obj["metadata"]["uid"], obj["kind"]
    for owner in meta.get("ownerReferences") or ():
        if owner["uid"] in known:
            if kind == "EndpointSlice":
                yield owner["uid"], uid, False
            else:
                yield uid, owner["uid"], True
    if kind == "Ingress":
        yield from ((uid, service, False) for name in _backends(obj)
                    if (service := _find(known, "Service", meta.get("namespace"), name)))
    if kind == "EndpointSlice":
        if not meta.get("ownerReferences"):
            name = (meta.get("labels") or {}).get("kubernetes.io/service-name")
            if service := _find(known, "Service", meta.get("namespace"), name):
                yield service, uid, False
        targets = ((e.get("targetRef") or {}).get("uid") for e in obj.get("endpoints") or ())
        yield from ((uid, target, False) for target in targets if target in known)


def _backends(ingress: Obj) -> Iterator[str]:
    spec = ingress.get("spec") or {}
    paths = (p for rule in spec.get("rules") or () for p in (rule.get("http") or {}).get("paths") or ())
    for backend in (spec.get("defaultBackend"), *(p.get("backend") for p in paths)):
        if backend and backend.get("service"):
            yield backend["service"]["name"]


def _find(known: dict[str, Obj], kind: str, namespace: str | None, name: str | None) -> str | None:
    return next((uid for uid, o in known.items() if o["kind"] == kind and o["metadata"]["name"] == name
                 and o["metadata"].get("namespace") == namespace), None)


def _node(uid: str, known: dict[str, Obj], groups: dict[str, str]) -> str:
    crowd = [known[u] for u, g in groups.items() if g == uid]
    obj = crowd[0] if crowd else known[uid]
    kind, name = obj["kind"], obj["metadata"]["name"]
    fill, line = LOOK.get(kind, LOOK[""])
    small = _detail(obj)
    if kind == "Pod":
        fill, line, small = PHASE[_phase(obj)]
        if crowd:
            kind, name = "Pods", f"{len(crowd)} of them"
    dashed = ', style="rounded,filled,dashed"' if small == "pending" else ""
    label = "\\n".join(_escaped(text) for text in (f"{kind} {name}", small) if text)
    return f'  {_id(uid)} [label="{label}", fillcolor="{fill}", color="{line}"{dashed}];'


def _detail(obj: Obj) -> str:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    if obj["kind"] in RIGHT:
        return f"{status.get('readyReplicas', 0)} of {spec.get('replicas', 1)} ready"
    if obj["kind"] == "Service":
        return ", ".join(filter(None, [spec.get("clusterIP"), *(str(p["port"]) for p in spec.get("ports") or ())]))
    if obj["kind"] == "EndpointSlice":
        ready = sum(1 for e in obj.get("endpoints") or () if (e.get("conditions") or {}).get("ready", True))
        return f"{ready} of {len(obj.get('endpoints') or ())} ready"
    hosts = [rule.get("host", "*") for rule in spec.get("rules") or ()]
    return ", ".join(hosts)


def _phase(pod: Obj) -> str:
    return pod_phase(pod, container_states(pod))


def _id(uid: str) -> str:
    return f'"{_escaped(uid)}"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
