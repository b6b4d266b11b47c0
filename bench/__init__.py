"""Benchmarks: each names its peer or limit and measures it in the same run. Figures are never asserted in tests."""
