"""The set-up: conda's file in step with pip's, the two commands' words, a light import."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]


def test_conda_and_pip_name_the_same_environment() -> None:
    """environment.yml installs this very package with the lab extra, on the same Python."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    plain = [d for d in conda["dependencies"] if isinstance(d, str)]
    pip = next(d["pip"] for d in conda["dependencies"] if isinstance(d, dict))
    assert pip == ["-e .[lab]"]
    assert "lab" in project["optional-dependencies"]
    assert f"python{project['requires-python']}" in plain
    for extra in ("lab", "test"):
        assert set(project["optional-dependencies"]["etcd"]) <= set(project["optional-dependencies"][extra])


def test_lab_script_needs_the_standard_library_alone() -> None:
    """./lab --help works in an interpreter without site-packages."""
    done = subprocess.run([sys.executable, "-I", "-S", str(ROOT / "lab"), "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "./lab test" in done.stdout


def test_lab_script_says_what_to_type_without_venv(tmp_path: Path) -> None:
    """Where python3-venv is missing, the script names the package to install."""
    (tmp_path / "ensurepip.py").write_text("raise ImportError('no ensurepip here')\n")
    done = subprocess.run([sys.executable, str(ROOT / "lab"), "test"], capture_output=True, text=True,
                          env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"}, cwd=tmp_path)
    assert done.returncode == 1
    assert f"sudo apt install python3.{sys.version_info.minor}-venv" in done.stderr


def test_import_is_light() -> None:
    """`import kubelab` pulls in none of the heavy rooms."""
    heavy = ("aiohttp", "cryptography", "docker", "anywidget", "grpc", "google.protobuf")
    program = f"import sys, kubelab; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_command_has_help_with_an_example() -> None:
    """Each command's --help ends with an example."""
    from kubelab.cli import main

    names = subprocess.run([sys.executable, "-m", "kubelab", "--help"], capture_output=True, text=True, check=True)
    for name in ("up", "lab", "check", "bench", "doctor", "apiserver", "etcd", "scheduler", "controller-manager",
                 "kubelet", "proxy"):
        assert name in names.stdout
        done = subprocess.run([sys.executable, "-m", "kubelab", name, "--help"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert f"example: kubelab {name}" in done.stdout
    assert main is not None
