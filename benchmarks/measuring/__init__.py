"""What measurements share: clocks, tables with their command and machine, plots, options, drawn inputs, paces.

No module here measures anything by itself. Start with `report.py`, how a table is written and kept.
"""
