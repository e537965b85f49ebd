"""The command line `mentalllama-train`."""
