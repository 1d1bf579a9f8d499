"""How the causal and the recurrent memory learn, for a model that stays as it is.

A memory is a class behind the seam of `seam.py`; the course and the lessons know no more of it than that. Start with
`__main__.py`, which is `python -m training.memory`, and `seam.py`; then `course.py` for how, `lessons.py` and
`videos.py` for what is learnt, `causal.py` and `recurrent.py` for what learns.
"""
