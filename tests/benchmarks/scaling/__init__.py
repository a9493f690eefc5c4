"""How cost grows with devices, workers, partitions and load; ``python -m tests.benchmarks.scaling``."""
