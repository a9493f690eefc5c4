"""``python -m tests.benchmarks.bench``: the field beside what people would pick instead, in one run."""
