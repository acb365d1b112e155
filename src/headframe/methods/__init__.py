"""How networks learn, and how what they compute becomes predictions."""
