"""``edgedl build``: the engines of a bundle for this device."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgedl.cli.inspect import plain
from edgedl.cli.parser import add_json_option, new_parser, print_json, print_next
from edgedl.deps import explain_missing
from edgedl.errors import UsageError

if TYPE_CHECKING:
    from edgedl.bundle import Bundle, Graph
    from edgedl.engines.build import Made
    from edgedl.engines.bundle_engines import Step
    from edgedl.engines.tensorrt_api import NetworkOptions

JETSON = "jetson-orin:jp6"

_TOLD = (
    "precision",
    "graph",
    "graph_sha256",
    "engine_sha256",
    "engine_size_bytes",
    "tensorrt",
    "compute_capabilities",
    "profiles",
    "build_s",
    "peak_memory_mib",
    "workspace_mib",
)
"""What ``--json`` tells of a sidecar."""

_ABOUT = """\
Engines go into a cache of this machine, and what is there already is taken; an upgrade of TensorRT,
the driver or the bundle builds anew. TensorRT-RTX engines (--for rtx) need no GPU to be built.
Engines for a Jetson are built on the Jetson, by this command or by the script that
--for jetson-orin:jp6 writes."""


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = new_parser(
        subparsers,
        "build",
        "build the TensorRT engines of a bundle for this device",
        example="edgedl build scenes.edge --for rtx",
    )
    parser.description = f"{parser.description}\n\n{_ABOUT}"
    parser.add_argument("bundle", metavar="X.edge", help="the bundle")
    parser.add_argument(
        "--for",
        dest="target",
        default="here",
        metavar="TARGET",
        help="here (the GPU and TensorRT of this machine, the default), rtx, jetson-orin:jp6",
    )
    parser.add_argument(
        "--precision",
        default="auto",
        metavar="P",
        help="auto (fp16 where the bundle has it), fp32, fp16, bf16, int8 (default auto)",
    )
    parser.add_argument(
        "--batch",
        action="append",
        metavar="MIN,OPT,MAX",
        help="sizes of a batch, default 1,1,8; each repetition adds an optimization profile",
    )
    parser.add_argument(
        "--shapes",
        action="append",
        default=[],
        metavar="INPUT=MIN:OPT:MAX",
        help="shapes of an input with other dynamic axes, each like 1x3x224x224; one of each input",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help=f"for {JETSON}: folder to write")
    parser.add_argument("--force", action="store_true", help="build what is there already, too")
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Build, or write the script that does."""
    if args.target == JETSON and args.out is None:
        msg = f"--for {JETSON} writes a folder with a script; say where: --out DIR"
        raise UsageError("E100", msg)
    if args.target != JETSON and args.out is not None:
        msg = (
            f"--out is for --for {JETSON}; engines for {args.target} go into the cache: "
            f"leave out --out {args.out}"
        )
        raise UsageError("E100", msg)
    with explain_missing("building engines"):
        from edgedl.bundle import Bundle
        from edgedl.engines.bundle_engines import graphs_for
    options = _options(args)
    bundle = Bundle.open(args.bundle)
    graphs = graphs_for(bundle, args.precision)
    if args.target == JETSON:
        return _write_script(bundle, graphs, options, args)
    return _build(bundle, graphs, options, args)


def _build(
    bundle: Bundle, graphs: tuple[Graph, ...], options: NetworkOptions, args: argparse.Namespace
) -> int:
    from edgedl.engines.bundle_engines import Watch, build_bundle, flavour_of

    trt = flavour_of(args.target, str(bundle.path))
    with _progress() as progress:
        made = build_bundle(bundle, trt, graphs, options, args.force, Watch(_say, progress))
    if args.json:
        engines = {role: _to_json(one) for role, one in made.items()}
        facts = {"bundle": str(bundle.path), "target": args.target, "tensorrt": str(trt)}
        print_json({**facts, "engines": engines}, args.json)
    if args.json != "-":
        _print_table(made, f"{bundle.path}: engines for {trt}")
    print_next("edgedl", "verify", bundle.path)
    return 0


def _write_script(
    bundle: Bundle, graphs: tuple[Graph, ...], options: NetworkOptions, args: argparse.Namespace
) -> int:
    from edgedl.engines.jetson import write_build_script

    said = write_build_script(bundle, graphs, args.out, options, args.force)
    if args.json:
        facts = {"bundle": str(bundle.path), "script": str(args.out / "build.sh")}
        print_json({**facts, **said}, args.json)
    if args.json != "-":
        for role, engine in said["engines"].items():
            print(f"{role}: {engine['graph']}, about {engine['build_memory_mib']} MiB to build")
        print(f"about {said['run_memory_mib']} MiB to run; {said['memory']}")
    _say(f"copy {args.out} to the Jetson and run {args.out.name}/build.sh there")
    return 0


def _options(args: argparse.Namespace) -> NetworkOptions:
    from edgedl.engines.shapes import parse_shapes
    from edgedl.engines.tensorrt_api import NetworkOptions

    batches = tuple(_sizes(text) for text in args.batch or ("1,1,8",))
    pairs = [parse_shapes(text) for text in args.shapes]
    shapes = dict(pairs)
    if len(shapes) < len(pairs):
        msg = f"--shapes is given twice for an input; once for each: {' '.join(args.shapes)}"
        raise UsageError("E110", msg)
    return NetworkOptions(batches=batches, profiles=(shapes,) if shapes else ())


def _sizes(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(size) for size in text.split(","))
    except ValueError as err:
        msg = f"--batch takes three sizes, e.g. 1,1,8; got {text!r}"
        raise UsageError("E110", msg) from err


def _to_json(made: Made) -> dict[str, Any]:
    told = {key: made.sidecar.get(key) for key in _TOLD}
    return {"path": str(made.path), "from_cache": made.from_cache, **told}


def _print_table(made: dict[str, Made], title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("engine", "precision", "MB", "s to build", "from", title=plain(title))
    for role, one in made.items():
        size, took = one.sidecar["engine_size_bytes"] / 1e6, one.sidecar["build_s"]
        source = "cache" if one.from_cache else "built now"
        table.add_row(role, one.sidecar["precision"], f"{size:.2f}", f"{took:.1f}", source)
    console = Console()
    console.print(table)
    for one in made.values():
        console.print(plain(str(one.path)), soft_wrap=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextmanager
def _progress() -> Iterator[Callable[[Step], None]]:
    """Show progress on standard error: a bar on a terminal, elsewhere a line now and then.

    TensorRT may tell nothing for minutes; the clock beside the bar goes on.
    """
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = ("{task.description}", "{task.percentage:3.0f} %", "{task.fields[left]}")
    first, *rest = map(TextColumn, columns)
    clock, console = TimeElapsedColumn(), Console(stderr=True)
    with Bar(first, BarColumn(), clock, *rest, console=console, transient=True) as bar:
        task = bar.add_task("building", total=1.0, left="")

        def show(step: Step) -> None:
            bar.update(task, description=step.role, completed=step.done, left=_left(step))

        yield show


def _lines(
    every_s: float = 5.0, clock_s: Callable[[], float] = time.monotonic
) -> Callable[[Step], None]:
    told_s = clock_s()

    def show(step: Step) -> None:
        nonlocal told_s
        if clock_s() - told_s >= every_s:
            told_s = clock_s()
            _say(f"{step.role}: {step.done:4.0%} {_left(step)}".rstrip())

    return show


def _left(step: Step) -> str:
    return "" if step.left_s is None else f"about {step.left_s:.0f} s left"
