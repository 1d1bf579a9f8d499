"""Drawn scenes: the sketch of a hurried person and the illustration of the very same plan, with captions.

Everything is a function of a random generator. Nothing here knows models or how anything is learnt. Start with
`scenes.py`; `shapes.py` is the plan, `paint.py` the illustrator, who takes from `materials.py` and `textures.py` and
stands before `easel.py`, and the other files are what can be on a picture.
"""
