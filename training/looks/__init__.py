"""What a look makes of a picture, with all of its chance read from the noise that the model gets at its first step.

So no stroke is ever the same twice, none is locked to the screen, and yet a model that sees the noise can know each.
Strokes follow the content; what has no direction takes one from the noise. Lengths are pixels whatever the picture's
size, since a latent cell is: the codec keeps nothing finer than about 5 px. A stroke is a streak of blurred noise along
a direction that hardly changes where nothing is, and so linear in the noise: strokes that lay on each other by chance,
or turned with the noise, were learnt as their mean, which looks embossed.
Start with `looks.py`, the table; `fields.py` is what noise and content give, `regions.py` flat pieces; the looks
themselves are in `painted.py`, `drawn.py`, `printed.py`, `lit.py` and `built.py`.
"""
