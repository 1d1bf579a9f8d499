"""Things that people draw, by name: fetched icons, composed into scenes of a sketch and its rendering.

`packs` fetches the icons, `icons` turns them into pictures, `catalogue` says what they are called and where they stand;
`scene` puts them together out of `places` and `hands`, and `phrases` says a scene in words. Start reading at `scene`.
No network is trained here, and nothing here knows of latents.
"""
