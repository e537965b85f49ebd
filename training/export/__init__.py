"""Export: from what a training wrote to a directory that can be served and given away."""
