"""A script that builds a bundle's engines on a Jetson with what JetPack brings."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgedl.bundle.files import new_folder, write_file
from edgedl.engines.build import needed_mib
from edgedl.engines.bundle_engines import options_for
from edgedl.engines.shapes import Shape, Shapes, profiles_of

if TYPE_CHECKING:
    from edgedl.bundle import Bundle, Graph
    from edgedl.engines.tensorrt_api import NetworkOptions

TRTEXEC = "/usr/src/tensorrt/bin/trtexec"
FACTS = "build.json"
"""What the folder says of itself; no bundle has such a file, so ``force`` never replaces one."""
WORKSPACE_MIB = 1024
"""Scratch memory of a build where none is named: a small part of the smallest Orin's 4 GiB."""

_RUN_MIB = 400  # CUDA context and libraries of one process


def write_build_script(
    bundle: Bundle,
    graphs: tuple[Graph, ...],
    out: Path,
    options: NetworkOptions,
    force: bool = False,
) -> dict[str, Any]:
    """Write a folder to copy to the board: ``build.sh``, the graphs, and what memory to expect.

    Args:
        bundle: Where the graphs are from.
        graphs: From ``graphs_for``.
        out: The folder; it appears complete or not at all.
        options: Shapes and limits.
        force: Replace such a folder that is there.

    Returns:
        What ``build.json`` in the folder says: role to graph, shapes, and memory in MiB. The
        numbers are estimates; they have not yet been measured on a board.

    Raises:
        UsageError: E110 the shapes do not fit the graphs.
        BundleError: E430 to E433 the folder cannot be written.
    """
    workspace_mib = options.workspace_mib or WORKSPACE_MIB
    sizes = {g.role: bundle.manifest.files[g.file].size_bytes for g in graphs}
    profiles = {g.role: _profiles(g, options_for(graphs, options)[g.role]) for g in graphs}
    said = {
        "target": "jetson-orin:jp6",
        "model": bundle.manifest.digest,
        "engines": {
            g.role: {
                "graph": Path(g.file).name,
                "precision": g.precision,
                "profiles": list(profiles[g.role]),
                "build_memory_mib": needed_mib(sizes[g.role], is_rtx=False) + workspace_mib,
            }
            for g in graphs
        },
        "run_memory_mib": _RUN_MIB + 2 * sum(sizes.values()) // (1 << 20),
        "memory": "estimates, not yet measured on a board",
    }
    with new_folder(out, force, (FACTS,)) as folder:
        for graph in graphs:
            write_file(folder / Path(graph.file).name, bundle.read(graph.file))
        lines = [_command(g, profiles[g.role], workspace_mib, options) for g in graphs]
        write_file(folder / "build.sh", _script(said, lines))
        (folder / "build.sh").chmod(0o755)
        write_file(folder / FACTS, json.dumps(said, indent=1) + "\n")
    return said


def _script(said: Mapping[str, Any], commands: Sequence[str]) -> str:
    most = max(engine["build_memory_mib"] for engine in said["engines"].values())
    return "\n".join(
        [
            "#!/bin/sh",
            "# Builds the engines on this Jetson with JetPack 6's TensorRT, into this folder.",
            f"# Expected: {most} MiB of memory to build, {said['run_memory_mib']} MiB to run;",
            "# estimates, not yet measured on a board.",
            "# What edgedl itself runs is built by: edgedl build X.edge",
            "set -eu",
            'cd "$(dirname "$0")"',
            f"trtexec=${{TRTEXEC:-{TRTEXEC}}}",
            '[ -x "$trtexec" ] || trtexec=$(command -v trtexec) || {',
            '  echo "trtexec not found; install it: sudo apt install tensorrt" >&2',
            "  exit 5",
            "}",
            *commands,
            'echo "built: $(echo *.engine)"',
            "",
        ]
    )


def _command(
    graph: Graph, profiles: Sequence[Mapping[str, Shapes]], workspace_mib: int, o: NetworkOptions
) -> str:
    words = [
        f"--onnx={Path(graph.file).name}",
        f"--saveEngine={graph.role}.engine.partial",
        "--stronglyTyped",
        f"--memPoolSize=workspace:{workspace_mib}",
        "--timingCacheFile=timing.cache",
        "--skipInference",
    ]
    if o.optimization_level is not None:
        words.append(f"--builderOptimizationLevel={o.optimization_level}")
    for index, profile in enumerate(profiles):
        if len(profiles) > 1:
            words.append(f"--profile={index}")
        for place, which in enumerate(("min", "opt", "max")):
            shapes = ",".join(f"{n}:{_size(sizes[place])}" for n, sizes in profile.items())
            words.append(f"--{which}Shapes={shapes}")
    command = " \\\n  ".join(['"$trtexec"', *map(shlex.quote, words)])
    return f"{command}\nmv {graph.role}.engine.partial {graph.role}.engine"


def _size(shape: Shape) -> str:
    return "x".join(map(str, shape))


def _profiles(graph: Graph, options: NetworkOptions) -> tuple[dict[str, Shapes], ...]:
    return profiles_of(_inputs(graph), options.batches, options.profiles)


def _inputs(graph: Graph) -> dict[str, Shape]:
    """Return name and shape of the inputs; sizes that have a name are not fixed."""
    return {
        spec.name: tuple(size if isinstance(size, int) else -1 for size in spec.shape)
        for spec in graph.inputs
    }
