"""What runs in production: a vLLM server with the analysis on it.

A post arrives over HTTP (`service.api`), from the command line (`service.cli`) or from a file, goes
through the one `service.analysis.analyzer.Analyzer`, and leaves as labels with probabilities,
explanations and evidence. The engine is vLLM's; nothing here computes a logit.
"""
