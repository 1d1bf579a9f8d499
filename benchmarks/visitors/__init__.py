"""Visitors of a real app: how it is started, what they do there, and half an hour of them.

They come over sockets, as people do; nothing here imports the engine. Start with `serving.py`; `benchmarks/load.py` and
`benchmarks/live.py` use them.
"""
