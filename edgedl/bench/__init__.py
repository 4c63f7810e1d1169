"""Latency that can be trusted: real frames, every stage, interleaved, with the machine."""

from edgedl.bench.load import BenchOptions, bench

__all__ = ["BenchOptions", "bench"]
