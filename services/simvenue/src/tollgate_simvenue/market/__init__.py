"""Where markets come from: a seeded generator, or a recording; neither knows the clock."""
