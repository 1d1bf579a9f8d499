"""Live on a lent GPU (ZeroGPU): page and wire as everywhere, and an engine in the process that a call runs in. Between
them lies a slot of shared memory for each visitor who is lent one.

Start with `engine.py`, which stands in for an engine behind the live wire; `call.py` is what runs on the GPU, `slot.py`
how the newest frame gets there, `row.py` what a visitor sees of it.
"""
