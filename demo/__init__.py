"""What a person sees: the Gradio page, the live canvas and the wire between them. Never imports torch."""
