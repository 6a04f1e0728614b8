"""The simulated exchange of `services/simvenue`, as its users see it."""
