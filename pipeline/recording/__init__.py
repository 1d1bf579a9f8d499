"""A visit in a file, and painting it again.

What comes from such a file is a stranger's: every field is checked as it is read, and nothing in it is run. Nothing
here knows the page that wrote it. Start with `recording.py`, the format; `replay.py` paints it again, frame by frame as
`moments.py` tells them, and `operations.py`, `drawing.py` and `strokes.py` draw what a hand drew.
"""
