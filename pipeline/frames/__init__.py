"""Pictures: a frame to a tensor to a latent and back, cuts between scenes, and the history that steadies a stream.

Also the measures of both: how steady, how prompt and how true to its words a translation is. Nothing here knows which
prompt or which memory a frame is painted with, nor whose it is. Start with `codec.py`, the two ends of every frame's
way; `picture_file.py` is the one door for pictures that come as files, and `history.py` is what a picture keeps of the
last one.
"""
