"""``edgedl serve``: caption a camera live, with a web page."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from edgedl.cli.parser import new_parser, print_next
from edgedl.cli.run import (
    add_motion_option,
    add_mounting_options,
    add_pipeline_options,
    leave_if_stuck,
    mounting_of,
)
from edgedl.cli.search import add_beams_option, search_changes
from edgedl.deps import explain_missing


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = new_parser(
        subparsers,
        "serve",
        "caption a camera live, with a web page",
        example="edgedl serve x.edge --source rtsp://camera.local/stream",
    )
    parser.add_argument("bundle", type=Path, help="a folder NAME.edge")
    parser.add_argument(
        "--source",
        required=True,
        metavar="URI",
        help="rtsp://…, http://… (MJPEG), test://scenes, or a file played at its own speed",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: this machine only)"
    )
    parser.add_argument(
        "--port", type=int, default=8080, help="port to listen on, 0 for a free one (default 8080)"
    )
    parser.add_argument(
        "--insecure-no-auth",
        action="store_true",
        help="allow a --host others can reach, although there is no login yet",
    )
    add_motion_option(parser)
    add_mounting_options(parser)
    add_pipeline_options(parser)
    add_beams_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command until a signal ends it."""
    with explain_missing("serving"):
        from edgedl.serve.daemon import ServeOptions, serve
    options = ServeOptions(
        host=args.host,
        port=args.port,
        insecure_no_auth=args.insecure_no_auth,
        backend=args.backend,
        precision=args.precision,
        threads=args.threads,
        allow_prebuilt_engine=args.allow_prebuilt_engine,
        search=search_changes(args),
        motion=args.motion,
        mounting=mounting_of(args),
    )
    if args.insecure_no_auth:
        print(f"warning: no login; whoever reaches {args.host} sees the camera", file=sys.stderr)
    code = serve(args.bundle, args.source, options, on_ready=_announce)
    if code == 0:
        print_next("edgedl", "bench", args.bundle)
    leave_if_stuck(code)
    return code


def _announce(url: str) -> None:
    print(f"serving {url}  (Ctrl-C ends)", flush=True)
