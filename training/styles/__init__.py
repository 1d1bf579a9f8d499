"""What a style makes of a picture: pure functions from pixels to pixels, and the words that ask for them.

Nothing here knows scenes or models. Start with `styles.py`; `filters.py` is what styles are made of, `grades.py` the
hours and seasons that go with each of them.
"""
