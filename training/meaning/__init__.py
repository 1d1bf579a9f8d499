"""Stage "meaning": the embedded model learns what things are called and look like, cheaply, before it learns texture.

Pairs are small (128 px) and lie on disk as latents, losses are on latents alone, so a second brings many samples.
`stage` is the training itself, `shards` the scenes, `latents` their cache; `outlines` and `looking` are
what is measured and looked at meanwhile. Texture, judges of pictures and memories have no place here.
Start reading at `stage`.
"""
