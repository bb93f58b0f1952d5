"""The protocols, a folder each: note.py (its sentence and metrics), loop.py, and the mathematics that only it and its methods need."""
