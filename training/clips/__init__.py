"""Moving scenes whose optical flow and occlusion are known exactly, because they are drawn.

Memories learn on such clips and are measured on them. Nothing here knows memories. Start with `clips.py`; `stage.py`
says what a clip is, `layers.py` how flat layers move, `things.py` what moves.
"""
