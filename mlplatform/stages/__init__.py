"""One file per node of a use case's graph, same names; each exports a function that builds the asset."""
