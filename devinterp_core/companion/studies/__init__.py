"""What single chapters measure: their sweeps and tables, each over the library's worlds, samplers and estimates.

A notebook tells the story and calls these; what other researchers would import stands in the rooms below.
"""
