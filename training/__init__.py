"""What makes models: readers of the data, fine-tuning, calibration, evaluation, export.

Data passes one way: rows of the ten sets become the prompts and answers of `imhi`, a base model is
fine-tuned on them, and what comes out is measured through `service.analysis`, the code that will
serve it. Nothing in `imhi` or `service` imports this package.
"""
