"""Attack the gateway with what its tests hold against it, and write down what happened: `make attack`."""
