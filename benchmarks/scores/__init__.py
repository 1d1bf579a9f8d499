"""How steady translated clips are: the variants that are compared, their scores, tables and pictures.

The measures themselves are `pipeline/frames/quality.py`. Start with `variants.py`; `benchmarks/steadiness.py` is the
command.
"""
