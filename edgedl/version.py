"""The version, where every module may import it."""

VERSION = "0.1.0"
