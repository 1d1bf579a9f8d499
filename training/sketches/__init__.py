"""A classifier learns what drawings look like, from outlines of the icons. Start with `stage.py`; `drawn.py` says what
it sees. `python -m training.sketches` trains it alone.
"""
