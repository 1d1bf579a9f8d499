"""What else looks at a frame beside the UNet: the lines that hold a picture, its depth, the safety checker, and what
tells what a drawing looks like.

Each guide is a model of its own over a frame. None of them knows sessions or decides when a frame is painted. Start
with `control.py`; `control_pictures.py` draws what it reads, `control_catalogue.py` and `control_load.py` name and load
it, `depth.py` guesses what some memories want to know, `safety.py` looks at what was painted, and `sketches.py` at what
was drawn.
"""
