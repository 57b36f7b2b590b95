"""What the book needs and the science does not: figures, claims, scorecard, the notebook runner."""
