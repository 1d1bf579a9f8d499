"""What is measured of a model of Stable Diffusion's shapes on a CUDA card: stages, ceilings, many visitors.

Weights are random: nothing here loads a published model or opens a page. Start with `shapes.py`; `benchmarks/gpu.py`
is the command, and `benchmarks/frame.py` measures the same layouts on a CPU.
"""
