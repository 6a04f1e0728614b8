"""What services say to each other: versioned messages, subjects, reason codes, money and time."""
