"""How fast the compiled kernels are: every kernel, every target of this CPU, against others."""

from edgedl.bench.kernels.measure import KernelBenchOptions, bench_kernels

__all__ = ["KernelBenchOptions", "bench_kernels"]
