"""Real candle files, hurt in every way that comes to mind, and a judge of what the reader says."""
