"""What a person sees: the Gradio page, the live canvas and the wire between them. Never imports torch."""

VERSION = "1.0.0"
"""The version of the app; saved pictures and shared presets carry it."""
