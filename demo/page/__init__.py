"""What Gradio shows: tabs, controls, looks, and the same as an API for scripts.

It says where everything stands and what each control sends; what happens then is decided in `demo.live` and in the
engine. Start with `page.py`; `controls.py` makes controls from the declarations of settings, `presets.py` and
`looks.py` hold what a visitor can ask for, and each tab has its file.
"""
