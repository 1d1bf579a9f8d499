"""How the embedded weights were made, and how others can be.

It may use the engine and knows nothing of the page. `python -m training.train` trains the model,
`python -m training.memory` a memory for it or for any other; `python -m benchmarks.pictures` says how good it is.
The rooms, each on those after it: memory and sketches, clips, texture, meaning, model and looks, things and scenes,
styles.
"""
