"""Rules of the allowed error: at which level the next challenger is tested."""
