"""The benchmark: records first, one a sample, then results as pure functions of the records."""
