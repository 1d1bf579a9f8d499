"""The live wire and who may use it: connections, visitors, places in line, limits, metrics, the output page.

It speaks to browsers and to the engine, and knows nothing of Gradio's page and its controls. Nothing blocks the event
loop and no queue grows: pictures are decoded and encoded in threads, and the newest frame wins. Start with `live.py`,
the routes; `wire.py` is what travels on them, `connection.py` one socket, `visitor.py` one guest with a place, and
`reception.py` who has one.
"""
