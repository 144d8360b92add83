"""Programs written for Keras, in the manner of tutorials and course work; see `running.py`."""
