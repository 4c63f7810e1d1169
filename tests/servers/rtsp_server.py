#!/usr/bin/python3
"""An RTSP camera on loopback: a moving ball in H.264.

Runs with the system's Python, which has GStreamer. Prints ``READY PORT``.
Streams: /live, and /resize, whose pictures shrink from 320x240 to 160x120 after two seconds. With
``--pictures 'FOLDER/%03d.jpg'`` also /pictures, which shows those in turn, 15 a second, for ever.
"""

import argparse
import signal
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

ENCODE = (
    "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 bitrate=400 "
    "! h264parse config-interval=1 ! rtph264pay name=pay0 pt=96 config-interval=1"
)
CAPS = "video/x-raw,width={},height={},framerate=15/1"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", default="0")
    parser.add_argument("--pictures", metavar="PATTERN")
    parser.add_argument("--login", metavar="USER PASSWORD", nargs=2)
    args = parser.parse_args()
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(args.port)
    mounts = server.get_mount_points()
    ball = f"videotestsrc is-live=true pattern=ball ! {CAPS.format(320, 240)}"
    live = new_factory(f"( {ball} ! {ENCODE} )")
    resize = new_factory(
        f"( {ball} ! videoscale ! capsfilter name=size caps={CAPS.format(320, 240)} ! {ENCODE} )"
    )
    resize.connect("media-configure", shrink_later)
    if args.login:
        ask_for_login(server, (live, resize), *args.login)
    mounts.add_factory("/live", live)
    mounts.add_factory("/resize", resize)
    if args.pictures:
        source = (
            f'multifilesrc location="{args.pictures}" loop=true caps=image/jpeg,framerate=15/1 '
            "! jpegdec ! videoconvert ! video/x-raw,format=I420"
        )
        mounts.add_factory("/pictures", new_factory(f"( {source} ! {ENCODE} )"))
    if server.attach(None) == 0:
        sys.exit("cannot listen")
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    print(f"READY {server.get_bound_port()}", flush=True)  # noqa: T201
    GLib.MainLoop().run()


def new_factory(pipeline: str):
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(pipeline)
    factory.set_shared(True)
    return factory


def shrink_later(_factory, media) -> None:
    size = media.get_element().get_by_name("size")

    def shrink() -> bool:
        size.set_property("caps", Gst.Caps.from_string(CAPS.format(160, 120)))
        return False

    GLib.timeout_add(2000, shrink)


def ask_for_login(server, factories, user: str, password: str) -> None:
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
    allowed = GstRtspServer.RTSPPermissions()
    for right in ("access", "construct"):
        allowed.add_permission_for_role("viewer", f"media.factory.{right}", True)
    for factory in factories:
        factory.set_permissions(allowed)


if __name__ == "__main__":
    main()
