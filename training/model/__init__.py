"""How the embedded model learns: its sizes, its data, its stages and their losses.

Nothing here knows moving scenes or memories that learn. Start with `training/train.py`, the order of the stages; then
`model.py` for what is trained, `data.py` for what on, `codec.py` and `joint.py` for how, `export.py` for what is
shipped, and `evaluate.py` for how good it is.
"""
