"""What several files of tests share: stand-ins, tiny files in the layout of real ones, an app that is really served.

Nothing here is a test. Fixtures and the tiny models that they load are in `tests/conftest.py`.
"""
