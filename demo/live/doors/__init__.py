"""What bounds strangers before anything is done for them: connections, requests and bodies of one address, uploads and
what they leave, and the routes that are shut.

Start with `crowd.py`; `peers.py` counts connections before any request is read. What knows who somebody is (tokens,
places, the line) is a floor above.
"""
