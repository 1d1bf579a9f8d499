"""What runs on a device: attention and its kernels, transfers that nobody waits for, threads, packed weights.

Part of the ground, on which every other room stands: nothing here knows frames, prompts, models or sessions, and it
imports no other room. Start with `attention.py`, where `attend` is the one algorithm and everything else a faster way
to it; `devices.py` says how tensors travel, `host.py` what this process may do beside the engine's thread.
"""
