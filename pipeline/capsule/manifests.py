"""The manifests of a run's stages as a chain of hashes: each names what it was computed from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...hw import BadInput
from ..sections import digest

Manifests = Mapping[str, Mapping[str, Any]]
"""The manifest of every stage, by the stage's name."""


def check_chain(manifests: Manifests, where: str) -> None:
    """Raise BadInput unless every stage was computed from the very outputs that the other manifests list.

    where: what the manifests are of, for messages.
    """
    for name, manifest in manifests.items():
        missing = [key for key in ("inputs", "outputs", "metrics") if not isinstance(manifest.get(key), dict)]
        if missing:
            raise BadInput(f"{where}: the manifest of {name} lacks {', '.join(missing)}; it is damaged")
    for name, manifest in manifests.items():
        for need, wanted in manifest["inputs"].items():
            if need not in manifests:
                raise BadInput(f"{where}: {name} was computed from {need}, of which there is no manifest")
            if outcome(manifests[need]) != wanted:
                raise BadInput(
                    f"{where}: {name} was computed from another {need} than the one that is there; run "
                    f"`spikeport run RECIPE` to bring all stages up to date"
                )


def outcome(manifest: Mapping[str, Any]) -> str:
    """SHA-256 over a stage's outputs and metrics, by which later stages name it (`runs.Outcome.hash`)."""
    return digest({"outputs": manifest["outputs"], "metrics": manifest["metrics"]})
