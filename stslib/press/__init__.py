"""How a run becomes results and a book: stages, parameters, fingerprints, the runner, the binder, and the command line."""
