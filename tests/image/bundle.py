"""The image that builds bundles: it builds one from a checkpoint, and the other image serves it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.image.base import run
from tests.image.chroot import Image, Mount, alone
from tests.image.serving import NEWS, ProofError, running

from khulasa_server.bundles import store

if TYPE_CHECKING:
    from collections.abc import Sequence

CHECKPOINT = Path(__file__).parents[2] / "server/training/checkpoints/demo-mt5-ar-summary"
TO_BIN = """
import safetensors.torch, torch
torch.save(safetensors.torch.load_file("/models/checkpoint/model.safetensors"),
           "/models/checkpoint/pytorch_model.bin")
"""
"""The form that the published checkpoints have, which only torch reads."""


def prove(builder: Image, server: Image, models: Path) -> dict[str, Any]:
    """Build a bundle from weights of torch's own format, and serve it.

    Args:
        builder: builds.
        server: serves.
        models: stands in for the volume.

    Raises:
        ProofError: the bundle that is served is not the one that was built.
    """
    shutil.rmtree(models, ignore_errors=True)
    shutil.copytree(CHECKPOINT, models / "checkpoint")
    own(models, builder)

    def work(words: Sequence[str]) -> str:
        """Run with a read-only root, a volume and /tmp, without a network, as the chart's Job."""
        mount = Mount(models, "/models", writable=True)
        inside = builder.inside(words, {"HF_HOME": "/models/.huggingface"})
        return run(alone(inside, builder.root, [mount], temporary=["/tmp"]))  # noqa: S108 - the image's

    work(["python", "-c", TO_BIN])
    (models / "checkpoint" / "model.safetensors").unlink()
    work(["khulasa-server", "models", "build", "/models/checkpoint", "--output", "/models/bundle",
          "--license", "CC-BY-SA-4.0", "--languages", "ar"])  # fmt: skip
    verified = work(["khulasa-server", "models", "verify", "/models/bundle"])
    digest = store.load(models / "bundle").manifest.digest
    with running(
        server, {"KHULASA_MODELS": "/models/bundle"}, [Mount(models, "/models")]
    ) as serves:
        answer = serves.ask("summarize", NEWS)
    if answer["model"]["digest"] != digest:
        raise ProofError(f"{answer['model']} answers, and {digest} was built")
    return {"verified": verified.strip(), "digest": digest, "summary": answer["text"]}


def own(directory: Path, image: Image) -> None:
    """Give a volume to the image's group, as the kubelet does for fsGroup."""
    uid, _, gid = image.user.partition(":")
    for path in [directory, *directory.rglob("*")]:
        os.chown(path, int(uid), int(gid))
