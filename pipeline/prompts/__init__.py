"""Words to embeddings, and from one embedding to another.

Nothing here knows frames, memories or where a text encoder came from: encoders come in as arguments. Start with
`encoder.py`; `blend.py` is the way between two prompts.
"""
