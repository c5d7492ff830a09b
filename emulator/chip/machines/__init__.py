"""Published machines, described by their components and priced as our chips are."""
