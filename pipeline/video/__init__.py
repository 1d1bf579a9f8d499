"""Video files in and out, through one session.

`reader.py` and `writer.py` know containers and codecs and nothing of the engine; `translate.py` knows a session and
nothing of containers. Start with `translate.py`, which is also `python -m pipeline.video`.
"""
