"""Sessions, lanes and ticks: who is painted when, and what each frame leaves to the next.

One thread owns the device, and what belongs to a visitor lives in their `Session` and nowhere else. Nothing here knows
files, videos or the wire. Start with `engine.py`; then `mailbox.py` for what waits, `lanes.py` for who shares a UNet
call, `translator.py` for what a frame passes, and `stream.py` for what it leaves. The rest are their tools: one engine
a model, byte budget, guidance, finer pictures at rest, the choice among memories. `pipeline.calls` makes the calls.
"""
