"""Words to embeddings, and from one embedding to another.

Nothing here knows frames, memories or where a text encoder came from: encoders come in as arguments. Start with
`encoder.py`; `parsing.py` refuses what cannot be read, `embeddings.py` is what comes out, and `blend.py` the way
between two prompts.
"""
