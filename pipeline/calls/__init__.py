"""How a network's calls are made: recorded on a card, compiled on a CPU, on streams beside each other, or by PyTorch as
they come. A call is a function of tensors; nothing here knows sessions, and what is made gives the same numbers.

Start with `graphs.py`, which says what a kind of call is. `compiled.py` is its sister on CPUs: `workshop.py` has calls
made in the background, `compiling.py` is the process that makes them, `runtimes.py` names who paints, and `streams.py`
is what else a card can do meanwhile.
"""
