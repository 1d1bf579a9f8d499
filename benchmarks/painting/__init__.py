"""What a model paints of pictures that it never saw: how near to what was asked, in which style, how sharp.

`inputs` are these pictures, `brush` paints one, `colours`, `judging` and `steering` are what is measured, `sheets` what
is looked at. Start reading at `benchmarks.pictures`, where all of it becomes one table.
"""
