"""What a server of forks imports: all that the app does, in an environment such as it sets before it does so."""

from __future__ import annotations

import os


def import_all() -> None:
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("FORWARDED_ALLOW_IPS", "")
    from pipeline.compute.host import hush, start_uncollected

    start_uncollected()
    hush()
    from demo.live import live  # noqa: F401
    from demo.page import lora, page, translations  # noqa: F401
    from pipeline import Engine, load_adapter, load_control, load_model, with_decoder  # noqa: F401


import_all()
