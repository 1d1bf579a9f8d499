"""The app on Hugging Face Spaces: its manifest, what is sent there, and Spaces that lend a GPU for a call at a time.

The page and the live wire know nothing of it: what a Space sets reaches them as limits and options. Start with
`spacefile.py`, the manifest; `space.py` is `python -m demo.space`, and `zero.py` with `zero_page.py` the app on
ZeroGPU.
"""
