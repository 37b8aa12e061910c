"""Build hook: generate kubelab/machinery/schemas.json.gz before it is packed, or before an editable install."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class SchemaBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Runs for wheels, source archives and editable installs alike."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Generate the file, unless a source archive brought it along."""
        path = Path(self.root) / "kubelab/machinery/schema_build.py"
        spec = importlib.util.spec_from_file_location("schema_build", path)
        if spec is None or spec.loader is None:
            raise ImportError(str(path))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)  # by path: kubelab's own dependencies are not installed here
        if not (Path(self.root) / "PKG-INFO").exists() or not module.TARGET.exists():
            module.build()
