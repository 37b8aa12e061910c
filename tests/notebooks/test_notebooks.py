"""Every notebook runs from top to bottom in a fresh kernel, and keeps to the house's form."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LONGEST_PROSE_WORDS = 125
EXPECTED = {
    "00-what-kubernetes-is": ["Hostname: shop-", " visits, 0 failed"],
    "01-master-and-nodes": ["Successfully assigned default/orphan", "NotReady", "was refused",
                            "connection refused"],
    "06-etcd": ["/registry/pods/default/web-", "changed by kubernetes-admin", "then: 3 pods", "-   replicas: 3", "the object has been modified",
                "a compare did not hold", "DELETE /demo/anna", "has been compacted", "what was before revision"],
    "07-consensus": ["5 members: 3 must agree, 2 may be lost", "written again after", "the site says 200", "asks around",
                     "true: etcdserver: request timed out", "the side of one: etcdserver: ",
                     "the side of two: written at revision", "has:  []", "# /demo/fruit", "pear", "the site: 200",
                     "no majority of members answers", "a slow leader:"],
    "02-first-deployment": ["does not match template", "Welcome to nginx", "ErrImagePull", "pod/web-"],
}


def test_there_are_notebooks() -> None:
    """Each notebook has its expectations here, and the other way round."""
    assert {path.stem for path in NOTEBOOKS} == set(EXPECTED)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path) -> None:
    """All cells execute, and the outputs show what the prose promises."""
    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=where).execute()
    shown = "\n".join(_texts(notebook))
    for words in EXPECTED[path.stem]:
        assert words in shown


def _texts(notebook: nbformat.NotebookNode) -> list[str]:
    texts = []
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            texts += [output.get("text", ""), data.get("text/plain", ""), data.get("text/html", "")]
    return texts


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_reads_well(path: Path) -> None:
    """Prose is short, no more than two code cells stand in a row, outputs are not stored."""
    notebook = nbformat.read(path, as_version=4)
    row = 0
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            assert len(cell.source.split()) <= LONGEST_PROSE_WORDS, cell.source[:80]
            row = 0
        else:
            row += 1
            assert row <= 2, cell.source
            assert cell.outputs == []
    for figure in {word for cell in notebook.cells for word in cell.source.split("](")[1:] if word.startswith("img/")}:
        assert (path.parent / figure.split(")")[0]).exists()
