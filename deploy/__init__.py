"""Rearview on more than one GPU or machine, with Ray Serve. Optional: nothing outside this folder knows of it."""
