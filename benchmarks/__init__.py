"""How fast, against whom? Whole paths, each beside its peers on the same data in the same run. See docs/benchmarks.md."""
