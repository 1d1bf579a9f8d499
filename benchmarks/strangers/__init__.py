"""Strangers who mean harm to a real app: what they send, and how.

They come over sockets and HTTP from an address of their own; nothing here imports the engine. Start with `attacks.py`;
`benchmarks/attack.py` lets them loose beside honest visitors. Aim them only at an app of your own.
"""
