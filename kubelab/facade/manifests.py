"""What a person hands to `apply`, turned into objects: a path, a folder, YAML text, dicts, or lists of these.

Invariant: nothing is applied before everything was read.
Models:    kubectl's -f FILENAME
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kubelab.machinery.errors import bad_request
from kubelab.machinery.request import Obj
from kubelab.machinery.yaml import load_all

Manifest = str | Path | Mapping[str, Any] | Iterable[Any]


def read(*manifests: Manifest) -> list[Obj]:
    """Return every object in `manifests`, in order; a `List` counts as its items.

    Raises: BadRequest (malformed YAML, a document that is no object), FileNotFoundError.
    """
    found: list[Obj] = []
    for manifest in manifests:
        found += _read_one(manifest)
    for obj in found:
        missing = [field for field in ("apiVersion", "kind") if not obj.get(field)]
        if missing:
            name = (obj.get("metadata") or {}).get("name", "?")
            raise bad_request(f'the object "{name}" has no {" and no ".join(missing)}: every manifest needs both')
    return found


def _read_one(manifest: Manifest) -> list[Obj]:
    if isinstance(manifest, Mapping):
        return _unfold(dict(manifest))
    if isinstance(manifest, Path):
        return _read_path(manifest)
    if isinstance(manifest, str):
        if "\n" in manifest or ": " in manifest:
            return [o for document in load_all(manifest) for o in _unfold(document)]
        return _read_path(Path(manifest).expanduser())
    return [o for item in manifest for o in _read_one(item)]


def _read_path(path: Path) -> list[Obj]:
    if path.is_dir():
        files = sorted(f for f in path.iterdir() if f.suffix in (".yaml", ".yml", ".json"))
        return [o for file in files for o in _read_path(file)]
    if not path.exists():
        raise FileNotFoundError(f'the path "{path}" does not exist; YAML text needs at least one "key: value" in it')
    return [o for document in load_all(path.read_text()) for o in _unfold(document)]


def _unfold(obj: Obj) -> list[Obj]:
    if str(obj.get("kind", "")).endswith("List") and isinstance(obj.get("items"), list):
        return list(obj["items"])
    return [obj]
