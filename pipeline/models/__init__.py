"""What a model is, where it lies, how it is loaded and changed, and one call of its UNet.

Models are told apart by data: what the engine must know of one is an entry of the catalogue or is read from its files,
never from its name. Nothing here knows sessions or whose frame it is. Start with `load.py`, the way in, and
`catalogue.py`, the declarations; `lora.py` and `textual_inversion.py` change a model, `unet_call.py` is what everybody
else calls.
"""
