"""Search: from an encoder's memory to ranked sentences."""
