"""Events of other systems, brought to the links that they are for."""
