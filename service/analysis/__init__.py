"""The way of a post: prompts, label reads, calibration, decision, explanation, checks.

Nothing here knows HTTP. The engine stands behind the `Engine` protocol in `engine.py`, so that the
service, the benchmark, the calibration and the bulk tool all go through the same code.
"""
